# SPDX-License-Identifier: Apache-2.0
"""One step of a recurrent net as a module of its own, with its state as inputs and outputs: what is exported."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from bitlens.nn.gru import QuantGRU
from bitlens.nn.lstm import QuantLSTM
from bitlens.nn.recurrent import QuantRecurrent, State
from bitlens.quant.base import QuantError

__all__ = ["HasStep", "RecurrentStep"]


@runtime_checkable
class HasStep(Protocol):
    """A net that can run one step with an explicit state: `QuantLSTM`, `QuantGRU`, `LanguageModel`."""

    def initial_state(self, batch: int) -> State:
        """Return the state before the first step."""
        ...

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one step."""
        ...


class RecurrentStep(nn.Module):
    """forward(x, *state) -> (scores, *next state) of a net in the fixed form.

    The state passes its own quantizers first, which change nothing that a step has made: so every reader of the exported
    model knows its grid.

    Args:
        net: has one `QuantLSTM` or `QuantGRU` of the fixed form.

    Raises:
        QuantError: it has none or several, or it is in the paper's form.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        cells = [(name, module) for name, module in net.named_modules() if isinstance(module, QuantRecurrent)]
        if len(cells) != 1:
            raise QuantError(f"net: must have a step and one recurrent layer, not {len(cells)} of them")
        if not isinstance(net, HasStep):
            raise QuantError(f"net: must have a step, which {type(net).__name__} has not")
        name, cell = cells[0]
        if cell.gate_quantizer is None or cell.state_quantizer is None:
            raise QuantError(
                f"{name or 'net'}: must be in the fixed form to be exported, not the paper's; call .to_fixed()"
            )
        assert isinstance(cell, QuantLSTM | QuantGRU)
        self.net = net
        quantizers: list[nn.Module] = [cell.state_quantizer]
        if isinstance(cell, QuantLSTM):
            assert cell.cell_quantizer is not None
            quantizers.append(cell.cell_quantizer)
        self.state_quantizers = nn.ModuleList(quantizers)
        self.training = self.state_quantizers.training = net.training

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the states: ("h", "c") of an LSTM, ("h",) of a GRU."""
        return ("h", "c")[: len(self.state_quantizers)]

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Run one step: x (N, I), or numbers (N,) of a language model, and tensors (N, H)."""
        bare = isinstance(self.net, QuantRecurrent)
        if bare:
            x = self.state_quantizers[0](x)
        known = tuple(quantizer(s) for quantizer, s in zip(self.state_quantizers, state, strict=True))
        assert isinstance(self.net, HasStep)
        scores, following = self.net.step(x, known)
        if bare:  # h is an output and the state: two tensors, so that each has a name
            scores = self.state_quantizers[0](scores)
        return scores, *following

    def example(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return inputs that fit `forward`: x beside the initial state."""
        assert isinstance(self.net, HasStep)
        with torch.no_grad():
            return x, *self.net.initial_state(len(x))
