# SPDX-License-Identifier: Apache-2.0
"""What the processes of a run tell each other of their gradients: a communication hook of torch's DDP.

With 32 bits every gradient is summed as it is. With fewer, a process sends k-bit codes of its own and one float32 scale a
parameter, rounded stochastically (`quant.dorefa_gradient`), so that the average over steps and processes has no bias.

Every parameter is rounded and summed for itself, in the order of the processes, its noise drawn from (seed, step, process,
parameter). So no step depends on how DDP fills its buckets, which it changes after a first step: a run continues bit-identically.
"""

# No `from __future__ import annotations`: DDP looks at the annotations of a hook.
import itertools

import torch
import torch.distributed as dist
from torch import Tensor, nn

from bitlens.quant import dorefa_gradient_codes

__all__ = ["FLOAT", "WIRE_BITS", "Exchange", "pack", "unpack"]

FLOAT = 32
WIRE_BITS = (1, 2, 4, 8, FLOAT)


class Exchange:
    """Averages gradients over all processes.

    Args:
        net: whose parameters meet.
        bits: of a gradient on the wire, one of `WIRE_BITS`.
        seed: of the noise.

    Attributes:
        sent: bytes of gradients that this process has sent.
        sent_float: what it would have sent as float32: 2 (N-1)/N times the gradients' bytes, as a ring of N processes does.
    """

    def __init__(self, net: nn.Module, bits: int, seed: int) -> None:
        self.bits, self.seed = bits, seed
        self.step = 0
        self.sent = self.sent_float = 0.0
        self._rank, self._size = dist.get_rank(), dist.get_world_size()
        self._numbers = {id(parameter): number for number, parameter in enumerate(net.parameters())}
        self._generator = torch.Generator(next(net.parameters()).device)

    def average(
        self,
        state: None,
        bucket: dist.GradBucket,  # type: ignore[name-defined]
    ) -> torch.futures.Future[torch.Tensor]:
        """Replace a bucket's gradients by their mean over all processes."""
        gradients = bucket.buffer()
        parameters = bucket.parameters()
        parts = gradients.split([parameter.numel() for parameter in parameters])
        whole = 2 * (self._size - 1) / self._size * gradients.numel() * gradients.element_size()
        self.sent_float += whole
        if self.bits == FLOAT:
            for part in parts:
                dist.all_reduce(part)
            self.sent += whole
        else:
            self._sum_codes(parts, [self._numbers[id(parameter)] for parameter in parameters])
        gradients.div_(self._size)
        done: torch.futures.Future[torch.Tensor] = torch.futures.Future(
            devices=[gradients.device] if gradients.is_cuda else None
        )
        done.set_result(gradients)
        return done

    def _sum_codes(self, parts: tuple[Tensor, ...], numbers: list[int]) -> None:
        """Replace gradients by the sum of what all processes have rounded theirs to."""
        codes, scales = zip(*map(self._codes, parts, numbers), strict=True)
        packed = pack(torch.cat(codes), self.bits)
        own = torch.cat([torch.cat(scales).view(torch.uint8), packed])  # float32 scales, then the codes
        everyone = [torch.empty_like(own) for _ in range(self._size)]
        dist.all_gather(everyone, own)
        self.sent += (self._size - 1) * own.numel()
        levels = (1 << self.bits) - 1
        for part in parts:
            part.zero_()
        for message in everyone:
            found = message[: 4 * len(parts)].view(torch.float32)
            integers = unpack(message[4 * len(parts) :], self.bits)
            at = itertools.accumulate([0, *(part.numel() for part in parts)])
            for part, scale, start in zip(parts, found, at, strict=False):
                part.add_((2 * integers[start : start + part.numel()] - levels) * (scale / levels))

    def _codes(self, part: Tensor, number: int) -> tuple[Tensor, Tensor]:
        """Return a parameter's codes, uint8 (elements,), and its scale (1,)."""
        mixed = self.seed
        for value in (self.step, self._rank, number):
            mixed = (mixed * 0x9E3779B97F4A7C15 + value + 1) & ((1 << 63) - 1)
        self._generator.manual_seed(mixed)
        codes, scale = dorefa_gradient_codes(part[None], self.bits, self._generator)
        return codes[0].to(torch.uint8), scale


def pack(codes: Tensor, bits: int) -> Tensor:
    """Put codes of 1, 2, 4 or 8 bits side by side, the first in the lowest bits of a byte; zeros fill the last byte.

    Args:
        codes: uint8 (elements,), each below 2^bits.
        bits: of a code.
    """
    each = 8 // bits
    rows = nn.functional.pad(codes, (0, -len(codes) % each)).view(-1, each)
    packed = rows[:, 0].clone()
    for place in range(1, each):
        packed |= rows[:, place] << (place * bits)
    return packed


def unpack(packed: Tensor, bits: int) -> Tensor:
    """Return the codes of `pack`, float32, with those that fill the last byte."""
    mask = (1 << bits) - 1
    return torch.stack([(packed >> place) & mask for place in range(0, 8, bits)], dim=1).view(-1).float()
