# SPDX-License-Identifier: Apache-2.0
"""LSTM on integers, with sigmoid in place of tanh, so that every state lies on an unsigned grid.

    [i, j, f, o] = sigmoid(W [x, h] + b);  c' = f c + i j;  h' = Q_k(sigmoid(c') o)

Paper's form: gates and cell are float. Fixed form: gates and cell are rounded to fixed point, see `QuantLSTM.to_fixed`.
Shapes: N batch, T steps, I inputs, H hidden units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bitlens.nn.fixed_form import check_lstm, sharing_copy
from bitlens.nn.recurrent import QuantRecurrent, State, parts, sigmoid_slope
from bitlens.nn.recurrent_matrix import Matrix
from bitlens.quant.base import Quantizer
from bitlens.quant.state import FixedPoint, UnitActivation

__all__ = ["QuantLSTM"]


class QuantLSTM(QuantRecurrent):
    """One LSTM layer.

    Its state is (h, c). The bias of f starts at 1, all others at 0.
    Source: arXiv 1611.10176 and the authors' code, whose constant "f + 1" is here the start of a bias.

    Args:
        input_size, hidden_size, state_quantizer, gate_quantizer: see `QuantRecurrent`.
        weight_quantizer: of the one matrix (4H, I + H) whose rows are i, j, f, o.
        cell_quantizer: of c; None for the paper's form.

    Raises:
        QuantError: the quantizers make no exact fixed form.
    """

    states = 2

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        state_quantizer: UnitActivation | None = None,
        weight_quantizer: Quantizer | None = None,
        gate_quantizer: FixedPoint | None = None,
        cell_quantizer: FixedPoint | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, state_quantizer, gate_quantizer)
        self.gates = self._linear([0.0, 0.0, 1.0, 0.0], weight_quantizer)
        self.cell_quantizer = cell_quantizer
        check_lstm(state_quantizer, weight_quantizer, gate_quantizer, cell_quantizer)

    def to_fixed(self, gates: int = 8, cell: tuple[int, int] = (12, 8)) -> QuantLSTM:
        """Return this layer in the fixed form; both share their parameters.

        Args:
            gates: bits of a gate.
            cell: bits of the cell, and how many of them stand behind the point.

        Raises:
            QuantError: weights or states are float, or a product would not be exact.
        """
        fixed = sharing_copy(self)
        fixed.gate_quantizer, fixed.cell_quantizer = FixedPoint(gates, gates), FixedPoint(*cell)
        check_lstm(self.state_quantizer, self.gates.weight_quantizer, fixed.gate_quantizer, fixed.cell_quantizer)
        return fixed.train(self.training).to(self.gates.weight.device)

    def initial_state(self, batch: int) -> State:
        """Return h = c = Q(sigmoid(0)), c rounded to its own grid."""
        h, c = super().initial_state(batch)
        return h, c if self.cell_quantizer is None else self.cell_quantizer(c)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one step; see `QuantRecurrent`."""
        h, c = state
        s = self._sigmoid(self.gates(torch.cat([x, h], 1)))
        if self.gate_quantizer is not None:
            s = self.gate_quantizer(s)
        i, j, f, o = parts(s, 4)
        c = f * c + i * j
        if self.cell_quantizer is not None:
            c = self.cell_quantizer(c)
        s = self._sigmoid(c)
        if self.gate_quantizer is not None:
            s = self.gate_quantizer(s)
        h = s * o if self.state_quantizer is None else self.state_quantizer(s * o)
        return h, (h, c)

    def _sequence(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        matrix = Matrix.of(self.gates)
        h, c = _Sequence.apply(x, *state, *matrix, self)  # type: ignore[no-untyped-call]
        return h, (h[-1], c)

    def _cell(self, c: Tensor) -> Tensor:
        return c if self.cell_quantizer is None else self.cell_quantizer.rounded(c)


class _Sequence(torch.autograd.Function):
    """All steps, from integers to integers: the arithmetic and the gradients of `QuantLSTM.step`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, h: Tensor, c: Tensor, weight: Tensor, scale: Tensor, bias: Tensor, layer: QuantLSTM
    ) -> tuple[Tensor, Tensor]:
        matrix = Matrix(weight, scale, bias)
        steps, _, inputs = x.shape
        xh = weight.new_empty(steps + 1, h.shape[0], weight.shape[1])  # [x, h before the step]
        xh[:-1, :, :inputs], xh[0, :, inputs:] = x, h
        total = matrix.inputs(xh[:-1, :, :inputs])
        gates = c.new_empty(total.shape)  # not yet rounded
        cells = c.new_empty(steps + 1, *c.shape)
        cells[0] = c
        for t in range(steps):
            gates[t] = layer._sigmoid(matrix.outputs(total[t], xh[t, :, inputs:]))
            i, j, f, o = layer._gates(gates[t]).chunk(4, 1)
            cells[t + 1] = layer._cell(f * cells[t] + i * j)
            xh[t + 1, :, inputs:] = layer._codes(layer._gates(layer._sigmoid(cells[t + 1])) * o)
        ctx.save_for_backward(xh, gates, cells, weight, scale, bias)
        ctx.layer = layer
        return xh[1:, :, inputs:].to(c.dtype), cells[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        layer: QuantLSTM = ctx.layer
        xh, gates, cells, weight, scale, bias = ctx.saved_tensors
        steps, batch, hidden = grads[0].shape
        matrix, xh = Matrix(weight.float(), scale, bias), xh[:-1].float()
        w_x, w_h = matrix.scaled().tensor_split([weight.shape[1] - hidden], 1)
        i, j, f, o = layer._gates(gates).chunk(4, 2)
        s = layer._sigmoid(cells[1:])
        unit = layer._unit()
        h_to_c = sigmoid_slope(s) * o / unit
        h_to_o = layer._gates(s) / unit
        slopes = torch.cat([j, i, cells[:-1], h_to_o], 2) * sigmoid_slope(gates)  # becomes the gradient before sigmoid
        dh, dc = torch.zeros_like(grads[1]), grads[1].clone()
        for t in reversed(range(steps)):
            dh += grads[0][t]
            dc.addcmul_(dh, h_to_c[t])
            slope = slopes[t].view(batch, 4, hidden)
            slope[:, :3].mul_(dc[:, None])
            slope[:, 3].mul_(dh)
            dc *= f[t]
            dh = slopes[t] @ w_h
        dx = slopes @ w_x if ctx.needs_input_grad[0] else None  # data need none
        return dx, dh, dc, *matrix.gradients(slopes, xh), None
