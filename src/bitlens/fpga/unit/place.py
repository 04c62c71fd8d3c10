# SPDX-License-Identifier: Apache-2.0
"""Where tensors lie in memory: the first gap that is wide enough among those that live at the same time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["place_tensors"]


def place_tensors(
    sizes: Mapping[str, int], steps: Sequence[tuple[Sequence[str], str]], kept: Sequence[str]
) -> dict[str, int]:
    """Give every tensor an address.

    Args:
        sizes: words, by name.
        steps: what each layer reads, and what it writes, in order.
        kept: tensors that live from the beginning (those no layer writes) or to the end.

    Returns:
        Addresses in words from 0, by name. Tensors overlap only where one is read for the last time before the other is
        written for the first.
    """
    born = dict.fromkeys(sizes, 0)
    dies = dict.fromkeys(sizes, 0)
    for time, (reads, write) in enumerate(steps):
        born[write] = time
        dies[write] = max(dies[write], time)
        for name in reads:
            dies[name] = max(dies[name], time)
    dies |= {name: len(steps) for name in kept}
    found: dict[str, int] = {}
    for name in sorted(sizes, key=lambda name: born[name]):
        rivals = sorted(
            (found[other], found[other] + sizes[other])
            for other in found
            if born[other] <= dies[name] and born[name] <= dies[other]
        )
        address = 0
        for begin, end in rivals:
            if address + sizes[name] <= begin:
                break
            address = max(address, end)
        found[name] = address
    return found
