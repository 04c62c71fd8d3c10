# SPDX-License-Identifier: Apache-2.0
"""A compiled model runs where only numpy is installed: no torch, no onnx."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

import bitlens
from island_models import float_ends
from programs import chain_program, random_inputs

SCRIPT = """
import json, sys
sys.path[:0] = [{folder!r}]
try:
    import torch
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("torch is there; the test proves nothing")
import numpy as np
import bitlens
islands = bitlens.Session({islands!r}, threads=1)
outputs = islands.run(np.zeros((1, *islands.inputs["image"].shape), np.float32))
assert all(np.isfinite(array).all() for array in outputs.values())
session = bitlens.Session({model!r}, threads=1)
outputs = session.run(np.load({images!r}))
golden = bitlens.Program.load({model!r}).run(np.load({images!r}))
name = next(iter(outputs))
print(json.dumps({{"equal": bool((outputs[name] == golden[name]).all()), "modules": sorted(sys.modules)}}))
"""


def test_a_program_runs_with_numpy_alone(tmp_path: Path) -> None:
    program = chain_program(0)
    program.save(tmp_path / "m.bitlens")
    bitlens.compile(float_ends(), float_islands=True).save(tmp_path / "islands.bitlens")
    np.save(tmp_path / "x.npy", random_inputs(program, 3, 0)["image"].astype(np.uint8))
    folder = tmp_path / "site"  # an environment with numpy and bitlens and nothing else
    folder.mkdir()
    for package in (Path(np.__file__).parent, Path(np.__file__).parents[1] / "numpy.libs"):
        if package.exists():
            (folder / package.name).symlink_to(package)
    (folder / "bitlens").symlink_to(Path(bitlens.__file__).parent)
    native = Path(sys.modules["bitlens.runtime._native"].__file__ or "") if _native() else None
    assert native is not None
    names = {"model": "m.bitlens", "islands": "islands.bitlens", "images": "x.npy"}
    script = SCRIPT.format(folder=str(folder), **{key: str(tmp_path / name) for key, name in names.items()})
    if native.parent != Path(bitlens.__file__).parent / "runtime":  # an editable install keeps it elsewhere
        finder = (
            f"import importlib.util as u\ns = u.spec_from_file_location('bitlens.runtime._native', {str(native)!r})\n"
        )
        finder += "sys.modules['bitlens.runtime._native'] = m = u.module_from_spec(s)\ns.loader.exec_module(m)\n"
        script = script.replace("import bitlens\n", finder + "import bitlens\n")
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["equal"]
    heavy = [
        name for name in report["modules"] if name.split(".")[0] in ("torch", "onnx", "onnxruntime", "tqdm", "PIL")
    ]
    assert not heavy


def _native() -> bool:
    import bitlens.runtime._native  # noqa: F401

    return True
