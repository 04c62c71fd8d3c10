# SPDX-License-Identifier: Apache-2.0
"""Which runs the tables of the papers are made of: pure data.

Of a table's rows the figures of several seeds are wanted, because an ordering counts only beyond their spread. Lengths
are what a small machine can do in a night; a run of another length in the same folder is taken as it is, and its row tells
how many epochs it had.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

__all__ = ["TRAININGS", "Training"]


@dataclass(frozen=True)
class Training:
    """One run.

    Args:
        row: of the table.
        recipe, bits, epochs, seed, decay, float_free: see `bitlens.train.run`.
        batch, rate: the same; the recipe's when None.
        figure: what it is judged by, "accuracy", "mean IoU" or "perplexity".
        published: the figure of the paper, or None; with `source`.
        source: where it stands, and for what data.
    """

    row: str
    recipe: str
    bits: str
    epochs: int
    seed: int = 0
    decay: str = ""
    float_free: str = ""
    batch: int | None = None
    rate: float | None = None
    figure: str = "accuracy"
    published: float | None = None
    source: str = ""

    @property
    def arguments(self) -> dict[str, Any]:
        """What `bitlens.train.run` is called with to train it; `settings_of` takes the same."""
        names = ("recipe", "bits", "epochs", "seed", "decay", "float_free", "batch", "rate")
        return {name: getattr(self, name) for name in names}

    @property
    def compiles(self) -> bool:
        """Whether all of its net is quantized, so that an integer program can be made of it."""
        return "w32a32" not in self.bits and "join=float" not in self.bits

    @property
    def folder(self) -> str:
        """The run's folder below the table's: row and seed."""
        kept = "".join(c if c.isalnum() or c == "-" else "_" for c in self.row.lower().replace("/", ""))
        return f"{'_'.join(part for part in kept.split('_') if part)}_seed{self.seed}"


def _seeds(count: int, *runs: Training) -> tuple[Training, ...]:
    return tuple(replace(run, seed=seed) for seed in range(count) for run in runs)


_C, _B, _RESNET, _VGG = "dorefa_cifar10_c", "dorefa_cifar10", "resnet20_cifar10", "vgg_cifar10"
_FCN, _GOOGLENET = "bitfcn_camvid", "googlenet_tinyimagenet"
_SVHN = "DoReFa-Net, arXiv 1606.06160 v3, table 1 (SVHN, 200 epochs)"
_SVHN_ENDS = "DoReFa-Net, arXiv 1606.06160 v3, table 3 (SVHN)"
_TALK = "talk on Smart Embedded Vision, 2017 (PTB)"
_XU = "Xu et al., ICLR 2018, arXiv 1802.00150, table 3, of Balanced Quantization (PTB)"
_LQ = "LQ-Nets, arXiv 1807.10029 (CIFAR-10)"
_VOC = "talk on Smart Embedded Vision, 2017, table 5 (mean IoU, VOC 2012)"
_LSTM_EPOCHS, _GRU_EPOCHS, _DOREFA_EPOCHS, _RESNET_EPOCHS = 8, 5, 12, 8
_FCN_EPOCHS, _GOOGLENET_EPOCHS, _VGG_EPOCHS, _VGG_BINARY_EPOCHS = 14, 16, 70, 16


def _dorefa(size: str, bits: str, published: float | None) -> Training:
    recipe = {"B": _B, "C": _C}[size]
    return Training(
        f"{size} {bits}",
        recipe,
        "w{}a{}g{}".format(*bits.split("-")),
        _DOREFA_EPOCHS,
        published=published,
        source="" if published is None else _SVHN,
    )


_TABLE_1 = {
    "1-1-2": (0.924, 0.910),
    "1-1-4": (0.961, 0.916),
    "1-1-8": (0.962, 0.902),
    "1-1-32": (0.963, 0.921),
    "1-2-2": (0.930, 0.900),
    "1-2-4": (0.969, 0.939),
    "1-2-6": (None, None),
    "1-2-8": (0.971, 0.946),
    "1-2-32": (0.970, 0.950),
    "1-4-4": (0.974, 0.962),
    "1-4-32": (None, None),
    "8-8-8": (None, 0.970),
    "32-32-32": (0.975, 0.972),
}


def _ends(row: str, keys: str, published: float | None) -> Training:
    source = "" if published is None else _SVHN_ENDS
    return Training(f"C 1-2-4, {row}", _C, f"w1a2g4,{keys}", _DOREFA_EPOCHS, published=published, source=source)


def _noiseless(bits: str) -> Training:
    whole = _dorefa("C", bits, None)
    return replace(whole, row=f"{whole.row}, without noise", bits=f"{whole.bits},noise=off")


_DOREFA = (
    *_seeds(2, *(_dorefa("C", bits, published[1]) for bits, published in _TABLE_1.items())),
    *_seeds(2, _noiseless("1-2-4"), _noiseless("1-2-2"), _noiseless("1-2-6")),
    *_seeds(
        2,
        _ends("float ends", "first=w32a32,last=w32a32", 0.939),
        _ends("first too", "first=w1a8g4,last=w32a32", 0.932),
        _ends("last too", "first=w32a32,last=w1a2g4", 0.927),
        _ends("first and last too", "first=w1a8g4,last=w1a2g4", 0.928),
    ),
    *_seeds(2, *(_dorefa("B", bits, _TABLE_1[bits][0]) for bits in ("1-2-4", "1-2-32", "1-1-32", "1-4-4", "32-32-32"))),
)


def _language(cell: str, bits: str, published: float | None, source: str, weight: str = "") -> Training:
    pair = "w{}a{}".format(*bits.split("/"))
    name = {"mean": " balanced", "max": " unbalanced", "uniform": " uniform-max", "": ""}[weight]
    keys = f",weight={weight}" if weight else ""
    return Training(
        f"{cell} {'float' if not weight else bits}{name}",
        f"{cell.lower()}_ptb",
        pair + keys,
        {"LSTM": _LSTM_EPOCHS, "GRU": _GRU_EPOCHS}[cell],
        figure="perplexity",
        published=published,
        source=source,
    )


_RECURRENT = (
    _language("LSTM", "2/2", 152, _TALK, "mean"),
    _language("LSTM", "2/3", 142, _TALK, "mean"),
    _language("LSTM", "32/32", 107, _XU),
    _language("LSTM", "2/2", 164, _TALK, "max"),
    _language("LSTM", "2/3", 155, _TALK, "max"),
    _language("LSTM", "4/4", 114, _XU, "mean"),
    _language("GRU", "2/2", 142, _XU, "mean"),
    _language("GRU", "32/32", 100, _XU),
    _language("GRU", "4/4", 116, _XU, "mean"),
    _language("LSTM", "4/4", None, "", "max"),
    _language("LSTM", "2/2", None, "", "uniform"),
    replace(_language("LSTM", "2/2", 152, _TALK, "mean"), seed=1),
    replace(_language("LSTM", "2/3", 142, _TALK, "mean"), seed=1),
    replace(_language("LSTM", "2/2", 164, _TALK, "max"), seed=1),
    replace(_language("LSTM", "2/3", 155, _TALK, "max"), seed=1),
)

_FAMILIES = {"balanced": "balanced", "mean": "mean-scaled", "uniform": "uniform-max"}
_BALANCED = _seeds(
    2,
    *(
        Training(f"C {bits}/{bits} {name}", _C, f"w{bits}a{bits},weight={family}", _DOREFA_EPOCHS)
        for bits in (2, 4)
        for family, name in _FAMILIES.items()
    ),
    Training("C float", _C, "w32a32", _DOREFA_EPOCHS),
)

_GOOGLENETS = (
    *(
        Training(f"GoogLeNet {bits}/{bits} {name}", _GOOGLENET, f"w{bits}a{bits},weight={family}", _GOOGLENET_EPOCHS)
        for bits in (4, 2)
        for family, name in _FAMILIES.items()
    ),
    Training("GoogLeNet float", _GOOGLENET, "w32a32", _GOOGLENET_EPOCHS),
)

_TABLE_5 = {
    "32/32": 0.698,
    "8/8": 0.698,
    "4/4": 0.686,
    "3/3": 0.674,
    "2/2": 0.657,
    "1/4": 0.644,
    "4/1": None,  # diverges
    "1/2": 0.628,
}


def _segmented(pair: str, published: float | None, decayed: bool) -> Training:
    """As long in all with decay as without: 4 epochs float, 2 of 8 and 2 of 4 bits, the rest its own.

    The talk does not say which of the two its table is of. The paper's summary tells a better 2-bit net (67.0 %), so the
    table is taken to be without decay.
    """
    return Training(
        f"{pair}, {'with' if decayed else 'without'} decay",
        _FCN,
        "w{}a{}".format(*pair.split("/")),
        _FCN_EPOCHS - 8 if decayed else _FCN_EPOCHS,
        decay="w32a32:4,w8a8:2,w4a4:2" if decayed else "",
        figure="mean IoU",
        published=None if decayed else published,
        source="" if decayed else _VOC,
    )


_SEGMENTED = _seeds(
    2,
    *(_segmented(pair, published, decayed=False) for pair, published in _TABLE_5.items()),
    *(
        _segmented(pair, published, decayed=True)
        for pair, published in _TABLE_5.items()
        if pair not in ("32/32", "8/8", "4/4")
    ),
)

_HALF = _DOREFA_EPOCHS
_PRETRAINED = _seeds(
    2,
    Training("C 1/2, from scratch, as long in all", _C, "w1a2", 2 * _HALF),
    Training("C 1/2, from float", _C, "w1a2", _HALF, decay=f"w32a32:{_HALF}"),
    Training("C 1/2, from wider bits", _C, "w1a2", _HALF, decay=f"w32a32:{_HALF // 2},w4a4:{_HALF // 2}"),
)

_JOINS = _seeds(
    2,
    Training("ResNet-20 2/2, shared grid", _RESNET, "w2a2", _RESNET_EPOCHS),
    Training("ResNet-20 2/2, float sums", _RESNET, "w2a2,join=float", _RESNET_EPOCHS),
)

_BEYOND = (
    Training("ResNet-20 2/2", _RESNET, "w2a2", _RESNET_EPOCHS, published=0.902, source=_LQ),
    Training("ResNet-20 1/2", _RESNET, "w1a2", _RESNET_EPOCHS, published=0.884, source=_LQ),
    Training("ResNet-20 float", _RESNET, "w32a32", _RESNET_EPOCHS, published=0.921, source=_LQ),
    Training(
        "ResNet-20 4/4",
        _RESNET,
        "w4a4",
        _RESNET_EPOCHS,
        published=0.908,
        source="PACT, by K. An's repository (CIFAR-10)",
    ),
    Training("ResNet-20 1/1", _RESNET, "w1a1", _RESNET_EPOCHS),
    Training("VGG-small 1/2", _VGG, "w1a2", _VGG_EPOCHS, published=0.934, source=_LQ),
    Training("VGG-small 2/2", _VGG, "w2a2", _VGG_EPOCHS, published=0.935, source=_LQ),
    Training(
        "VGG-small 1/1", _VGG, "w1a1", _VGG_BINARY_EPOCHS, published=0.899, source="BNN, arXiv 1602.02830 (CIFAR-10)"
    ),
)

_FLOAT_FREE = _seeds(
    2,
    Training("C 1-2-4, float batch norm and masters", _C, "w1a2g4", _DOREFA_EPOCHS),
    *(
        Training(f"C 1-2-4 without float, {row}", _C, "w1a2g4", _DOREFA_EPOCHS, float_free=keys)
        for row, keys in {
            "16-bit masters": "masters=16",
            "12-bit masters": "masters=12",
            "8-bit masters": "masters=8",
            "8-bit masters, rounded to the nearest": "masters=8,rounding=nearest",
            "10-bit masters, rounded to the nearest": "masters=10,rounding=nearest",
            "10-bit masters": "masters=10",
            "12-bit masters, range norm": "masters=12,norm=range",
        }.items()
    ),
    Training("C 1-2-8, float batch norm and masters", _C, "w1a2g8", _DOREFA_EPOCHS),
    Training("C 1-2-8 without float, 12-bit masters", _C, "w1a2g8", _DOREFA_EPOCHS, float_free="masters=12"),
)

TRAININGS = {
    "recurrent": _RECURRENT,
    "fcn": _SEGMENTED,
    "dorefa": _DOREFA,
    "balanced": (*_BALANCED, *_GOOGLENETS),
    "pretrained": _PRETRAINED,
    "joins": _JOINS,
    "beyond": _BEYOND,
    "floatfree": _FLOAT_FREE,
}
