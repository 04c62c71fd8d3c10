# SPDX-License-Identifier: Apache-2.0
"""What QuantLSTM and QuantGRU share: states, matrices, and the frame of a sequence.

Matrices are `QuantLinear`s on [x, h]; one step calls them. A sequence quantizes them once, multiplies the inputs of all
steps at once, and runs the rest in one autograd function, whose backward multiplies all steps at once as well.

Shapes: N batch, T steps, I inputs, H hidden units, O outputs of a matrix.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bitlens.nn.linear import QuantLinear
from bitlens.quant.base import Quantizer, is_exporting
from bitlens.quant.state import FixedPoint, UnitActivation

__all__ = ["QuantRecurrent", "State", "parts", "sigmoid_slope"]

State = tuple[Tensor, ...]
_MIDDLE = 0.5  # of [0, 1], the range of x and h


class QuantRecurrent(nn.Module):
    """Base of the recurrent layers, each in two forms.

    Paper's form: gates (and an LSTM's cell) are float. Fixed form, by `to_fixed`: they are fixed point, see
    `fixed_form.py`. It trains by straight-through gradients; its evaluation is exact integer arithmetic and compiles.

    Arguments, described here once:
        input_size, hidden_size: as in `torch.nn.LSTM`.
        state_quantizer: of x, h and what else enters a matrix; None for float.
        gate_quantizer: of the gates, with as many fraction bits as bits; None for the paper's form.

    Input and state are real values in [0, 1] on the state quantizer's grid.
    """

    states = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        state_quantizer: UnitActivation | None,
        gate_quantizer: FixedPoint | None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.state_quantizer = state_quantizer
        self.gate_quantizer = gate_quantizer

    def _linear(self, bias: list[float], weight_quantizer: Quantizer | None) -> QuantLinear:
        """Return a matrix on [x, h] with H rows for each start of a bias, weights uniform with variance 1/inputs."""
        inputs = self.input_size + self.hidden_size
        outputs = self.hidden_size * len(bias)
        layer = QuantLinear(inputs, outputs, input_quantizer=self.state_quantizer, weight_quantizer=weight_quantizer)
        layer.input_middle = _MIDDLE
        assert layer.bias is not None
        reach = math.sqrt(3 / inputs)
        nn.init.uniform_(layer.weight, -reach, reach)
        if weight_quantizer is not None:
            weight_quantizer.begin(layer.weight.detach())  # what is learned starts from these
        with torch.no_grad():
            layer.bias.copy_(torch.tensor(bias).repeat_interleave(self.hidden_size))
        return layer

    def initial_state(self, batch: int) -> State:
        """Return the state before the first step, Q(sigmoid(0)) everywhere: tensors (N, H)."""
        like = next(self.parameters())
        half = torch.full((batch, self.hidden_size), 0.5, dtype=like.dtype, device=like.device)
        if self.state_quantizer is not None:
            half = self.state_quantizer(half)
        return (half,) * self.states

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one step in plain torch operators.

        Args:
            x: (N, I), float32.
            state: tensors (N, H), float32.

        Returns:
            (h (N, H), the new state).
        """
        raise NotImplementedError

    def _sequence(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run steps from integers to integers: x (T, N, I) -> h (T, N, H)."""
        raise NotImplementedError

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run a sequence.

        Args:
            x: (N, T, I), float32.
            state: tensors (N, H), float32; `initial_state` when None.

        Returns:
            (h of every step (N, T, H), the state after the last).

        Raises:
            ValueError: x or a state has another shape.
        """
        name = type(self).__name__
        if x.dim() != 3 or x.shape[2] != self.input_size:
            raise ValueError(f"{name}: input must be (N, T, {self.input_size}), not {tuple(x.shape)}")
        state = self.initial_state(x.shape[0]) if state is None else state
        shape = (x.shape[0], self.hidden_size)
        if [tuple(s.shape) for s in state] != [shape] * self.states:
            found = ", ".join(str(tuple(s.shape)) for s in state)
            raise ValueError(f"{name}: state must be {self.states} of {shape}, not {found}")
        if x.shape[1] == 0:
            return x.new_empty(x.shape[0], 0, self.hidden_size), state
        if self.state_quantizer is None:
            h, state = self._sequence(x.transpose(0, 1), state)
            return h.transpose(0, 1).contiguous(), state
        integers, scale = self.state_quantizer.codes(x.transpose(0, 1))
        first, _ = self.state_quantizer.codes(state[0])
        h, state = self._sequence(integers, (first, *state[1:]))
        return h.transpose(0, 1).contiguous() * scale, (state[0] * scale, *state[1:])

    def _gates(self, s: Tensor) -> Tensor:
        """Round gates to their grid, without gradient; the paper's form keeps them."""
        return s if self.gate_quantizer is None else self.gate_quantizer.rounded(s)

    def _codes(self, h: Tensor) -> Tensor:
        """Return the state's integers of real values in [0, 1], without gradient; float keeps the values."""
        return h if self.state_quantizer is None else (h / self.state_quantizer.scale).add_(0.5).floor_()

    def _rounded(self, h: Tensor) -> Tensor:
        """Round values in units of the state, without gradient; float keeps them. Changes h."""
        return h if self.state_quantizer is None else h.add_(0.5).floor_()

    def _unit(self) -> Tensor | float:
        """Real value of one unit of the state."""
        return 1.0 if self.state_quantizer is None else self.state_quantizer.scale

    def _sigmoid(self, x: Tensor) -> Tensor:
        """Sigmoid; in evaluation of the fixed form correctly rounded as far as float64 goes."""
        if self.training or self.gate_quantizer is None or is_exporting():
            return torch.sigmoid(x)
        return torch.sigmoid(x.double()).float()


def parts(s: Tensor, count: int) -> list[Tensor]:
    """Return the gates (N, H) of (N, count H); slices, which export to plain operators."""
    size = s.shape[1] // count
    return [s[:, k * size : (k + 1) * size] for k in range(count)]


def sigmoid_slope(s: Tensor) -> Tensor:
    """Return the derivative of the sigmoid whose value is s."""
    return s - s * s
