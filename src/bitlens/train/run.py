# SPDX-License-Identifier: Apache-2.0
"""`run` is what `bitlens train` calls; `load_run` gives the trained net back.

>>> run("dorefa_cifar10", data="cifar10", out="runs/w1a2", bits="w1a2g6", resume=True)
>>> net = freeze(load_run("runs/w1a2"))
"""

from __future__ import annotations

import json
import os
import platform
import random
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import nn

from bitlens.quant import Spec
from bitlens.train.catalog import find_recipe
from bitlens.train.checkpoint import load_checkpoint, write_atomically
from bitlens.train.loop import Trainer, channels_last
from bitlens.train.recipe import TrainError
from bitlens.train.schedule import plan_stages
from bitlens.train.weights import load_weights, save_weights

__all__ = ["load_run", "pick_device", "read_config", "run"]

_FIXED = ("recipe", "bits", "epochs", "seed", "batch", "rate", "device", "threads", "decay", "init")


def pick_device(name: str) -> torch.device:
    """Return the device of a name; "auto" takes CUDA where there is one.

    Raises:
        TrainError: the device does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.split(":")[0] not in ("cpu", "cuda") or (name.startswith("cuda") and not torch.cuda.is_available()):
        raise TrainError(f"device: must be one of auto, cpu, cuda and exist here, not {name}")
    return torch.device(name)


def run(
    recipe: str,
    data: str | Path | None = None,
    out: str | Path = "run",
    bits: str | None = None,
    epochs: int | None = None,
    resume: bool = False,
    device: str = "auto",
    threads: int | None = None,
    seed: int = 0,
    cache: str | Path | None = None,
    every_steps: int = 0,
    init: str | Path | None = None,
    decay: str | None = None,
    delay: int = 0,
) -> dict[str, Any]:
    """Train a recipe's net and leave the run in a folder.

    Args:
        recipe: name in the catalog.
        data: folder of the data set; none needed for `digits`.
        out: the run's folder; made when missing.
        bits: spec string; the recipe's when None.
        epochs: length; the recipe's when None.
        resume: continue a run of this folder where it stopped; starts anew in an empty folder.
        device: "auto", "cpu" or "cuda".
        threads: torch's threads; all cores when None.
        seed: of weights, data order, augmentation and gradient noise.
        cache: folder for decoded images; the user's cache folder when None.
        every_steps: also write a checkpoint after so many steps; 0 for epochs' ends only.
        init: start from the weights of this run, of the same net with other bits.
        decay: stages before the run's own bits, each starting from the one before: "w32a32:5,w8a8:3" (bits:epochs).
        delay: so many epochs in float first; the same as decay "w32a32:DELAY".

    Returns:
        The result, also in `result.json`: recipe, bits, epochs, seconds, and the task's figure of the last epoch
        (test_accuracy, test_miou or test_perplexity).

    Raises:
        TrainError: the run cannot start or continue.
        bitlens.data.DataError: the data is missing or damaged.
        bitlens.quant.QuantError: the spec string is wrong.
    """
    chosen = find_recipe(recipe)
    spec = Spec.parse(bits or chosen.bits)
    length = chosen.epochs if epochs is None else epochs
    stages = plan_stages(spec, length, decay, delay)
    if every_steps < 0:
        raise TrainError(f"every_steps: must be at least 0, not {every_steps}")
    place = pick_device(device)
    if threads is not None:
        if threads < 1:
            raise TrainError(f"threads: must be at least 1, not {threads}")
        torch.set_num_threads(threads)
    folder = Path(out)
    config = _config(chosen.name, str(spec), length, seed, chosen.batch, chosen.rate, str(place))
    if len(stages) > 1:
        config["decay"] = ",".join(f"{stage.spec.middle}:{stage.epochs}" for stage in stages[:-1])
    if init is not None:
        config["init"] = str(init)
    continued = _continues(folder, config, resume)
    weights = None if init is None or continued else load_checkpoint(Path(init) / "checkpoint.pt")["net"]
    task = chosen.task.open(data, cache, chosen.batch, seed, place)
    _seed(seed)
    trainer = Trainer(chosen, stages, task, folder, place, every_steps, weights)
    if continued:
        trainer.restore()
    else:
        _start(folder, config)
    metrics = trainer.run()
    result = {
        "recipe": chosen.name,
        "bits": str(spec),
        "epochs": trainer.epochs,
        task.metric: metrics[-1][task.metric],
        "seconds": round(sum(line["seconds"] for line in metrics), 1),
    }
    save_weights(trainer.net.cpu(), folder / "weights.npz")
    _write_json(folder / "result.json", result)
    return result


def read_config(out: str | Path) -> dict[str, Any]:
    """Return a run's configuration.

    Raises:
        TrainError: the folder holds no run.
    """
    path = Path(out) / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise TrainError(f"{out}: must be a run's folder with config.json ({type(error).__name__})") from error
    return config


def load_run(out: str | Path) -> nn.Module:
    """Return the trained net of a run, on the CPU, in evaluation mode.

    It comes from `checkpoint.pt`, not frozen; where there is only `weights.npz`, frozen.

    Raises:
        TrainError: the folder holds no run, or its checkpoint or weights are damaged.
    """
    config = read_config(out)
    net = find_recipe(config["recipe"]).net(Spec.parse(config["bits"]))
    path = Path(out) / "checkpoint.pt"
    published = Path(out) / "weights.npz"
    if published.is_file() and not path.is_file():
        load_weights(net, published)
        return channels_last(net)
    state = load_checkpoint(path)
    try:
        net.load_state_dict(state["net"])
    except (KeyError, RuntimeError) as error:
        raise TrainError(f"{path}: must be a checkpoint of this net ({str(error).splitlines()[0]})") from error
    return channels_last(net).eval()


def _config(recipe: str, bits: str, epochs: int, seed: int, batch: int, rate: float, device: str) -> dict[str, Any]:
    return {
        "recipe": recipe,
        "bits": bits,
        "epochs": epochs,
        "seed": seed,
        "batch": batch,
        "rate": rate,
        "device": device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }


def _continues(folder: Path, config: dict[str, Any], resume: bool) -> bool:
    """Return whether the folder holds a run to continue, which must have this configuration."""
    if not (folder / "checkpoint.pt").is_file():
        return False
    if not resume:
        raise TrainError(f"{folder}: must be empty for a new run, not hold one already (continue it with --resume)")
    old = read_config(folder)
    for key in _FIXED:
        if old.get(key) != config.get(key):
            raise TrainError(f"{folder}: {key} must be {old.get(key)} to continue this run, not {config.get(key)}")
    return True


def _start(folder: Path, config: dict[str, Any]) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainError(f"{folder}: must be a writable folder ({error.strerror})") from error
    _write_json(folder / "config.json", config)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2) + "\n"
    write_atomically(path, lambda stream: _put(stream, text))


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - for the user's own code
    torch.manual_seed(seed)


def _put(stream: BinaryIO, text: str) -> None:
    stream.write(text.encode())
