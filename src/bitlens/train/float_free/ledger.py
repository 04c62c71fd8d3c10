# SPDX-License-Identifier: Apache-2.0
"""A ledger of a training step: after each operation, every tensor must be integers times one power of two.

    >>> with Ledger() as ledger:
    ...     free.step(codes, targets)
    >>> ledger.floats
    0

A tensor of integers passes when they all fit 32 bits, sign included, once one power of two common to the whole tensor is
taken out. That binds: the carrier is float64 with 53 bits, so a quotient, a root or an exponential fails with odds of
2^21 to 1 for each element. A tensor of another floating type fails as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["BITS", "Ledger", "width"]

BITS = 32
_UNWRITTEN = ("aten.empty", "aten.new_empty")  # memory that holds no value yet


def width(x: Tensor) -> int:
    """Return the bits, sign included, of the integers that a float64 tensor is, one power of two taken out; at most 64.

    NaN and infinity have 64.
    """
    if not x.numel():
        return 0
    largest = x.detach().abs().max()
    if not torch.isfinite(largest):
        return 64
    if largest == 0:
        return 0
    exponent = int(torch.frexp(largest)[1])  # all below 2^exponent
    whole = torch.ldexp(x.detach(), torch.tensor(62 - exponent, device=x.device))
    integers = whole.to(torch.int64)
    if not torch.equal(integers.double(), whole):
        return 64
    lowest = (integers & -integers)[integers != 0].min()
    return 63 - (int(lowest).bit_length() - 1)


def _given(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield (what the schema says of its memory, value) of every argument that aliases."""
    for place, told in enumerate(func._schema.arguments):
        given = args[place] if place < len(args) else kwargs.get(told.name)
        if told.alias_info is not None and given is not None:
            yield told.alias_info, given


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations and tensors while it is entered.

    Attributes:
        operations: how many ran.
        tensors: how many floating-point tensors they left.
        floats: how many tensors are no integers of at most 32 bits times a power of two; those of an integer type, which
            count here alone, no integers of at most 32 bits.
        widest: most bits of the integers that pass.
        offenders: operations that left such a tensor, each once, in order.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = self.tensors = self.floats = self.widest = 0
        self.offenders: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and look at what it leaves."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self.operations += 1
        name = str(func)
        if not name.startswith(_UNWRITTEN):
            found = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
            if not found:  # what is written in place is not always returned
                written = (given for told, given in _given(func, args, kwargs) if told.is_write)
                found = [leaf for leaf in tree_leaves([*written]) if isinstance(leaf, Tensor)]
            self._look(name, found)
        return out

    def _look(self, name: str, found: list[Tensor]) -> None:
        for leaf in found:
            if leaf.is_floating_point() or leaf.is_complex():
                self.tensors += 1
                bits = width(leaf) if leaf.dtype == torch.float64 else 64
            elif leaf.numel() and leaf.dtype != torch.bool:
                bits = max(int(leaf.max()).bit_length(), int(leaf.min()).bit_length()) + 1
            else:
                continue
            if bits > BITS:
                self.floats += 1
                told = f"{name} ({bits})"
                if told not in self.offenders:
                    self.offenders.append(told)
            else:
                self.widest = max(self.widest, bits)
