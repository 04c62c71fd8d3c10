# SPDX-License-Identifier: Apache-2.0
"""One string says how a run without float is done: `masters=12,norm=range,rounding=nearest`.

>>> Options.parse("masters=12").masters
12
"""

from __future__ import annotations

from dataclasses import dataclass

from bitlens.train.float_free.functions import PARAMETER
from bitlens.train.float_free.masters import power_within
from bitlens.train.recipe import TrainError

__all__ = ["Options"]

_CHOICES = {"norm": ("l1", "range"), "rounding": ("stochastic", "nearest")}
_LEAST, _MOST = 8, 16


@dataclass(frozen=True)
class Options:
    """How a run without float is done.

    Args:
        masters: bits of the weights that gradients are added to, 8 to 16, sign included.
        norm: statistics of batch norm, "l1" or "range".
        rounding: of an update to the masters' unit, "stochastic" or "nearest" (which stalls: a control).
    """

    masters: int = _MOST
    norm: str = "l1"
    rounding: str = "stochastic"

    @classmethod
    def parse(cls, text: str) -> Options:
        """Read the string; "" or "on" gives the defaults.

        Raises:
            TrainError: an unknown key, one given twice, or a bad value; the sentence names it.
        """
        found: dict[str, str] = {}
        for part in text.split(",") if text not in ("", "on") else ():
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals or name not in ("masters", *_CHOICES):
                given = part.strip() or "nothing"
                raise TrainError(f"float_free: must be on or keys out of masters, norm, rounding, not {given}")
            if name in found:
                raise TrainError(f"float_free: {name} must be given once, not twice")
            if name in _CHOICES and value not in _CHOICES[name]:
                given = value or "nothing"
                raise TrainError(f"float_free: {name} must be one of {', '.join(_CHOICES[name])}, not {given}")
            found[name] = value
        masters = found.pop("masters", str(_MOST))
        if masters not in map(str, range(_LEAST, _MOST + 1)):
            raise TrainError(f"float_free: masters must be {_LEAST} to {_MOST} bits, not {masters or 'nothing'}")
        return cls(int(masters), **found)

    def check_rate(self, rate: float) -> None:
        """Check that masters can take steps of this rate, before there is a net.

        Raises:
            TrainError: it is too large.
        """
        power_within(rate, max(self.masters - 1, PARAMETER))

    def __str__(self) -> str:
        return f"masters={self.masters},norm={self.norm},rounding={self.rounding}"
