# SPDX-License-Identifier: Apache-2.0
"""GRU on integers, with sigmoid in place of tanh, so that its state lies on an unsigned grid.

    [r, u] = sigmoid(W [x, h] + b);  c = Q_k(sigmoid(V [x, Q_k(r h)] + d));  h' = Q_k(u h + (1 - u) c)

Paper's form: r and u are float. Fixed form: they are rounded to fixed point, see `QuantGRU.to_fixed`.
Shapes: N batch, T steps, I inputs, H hidden units.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from bitlens.nn.fixed_form import check_gru, sharing_copy
from bitlens.nn.recurrent import QuantRecurrent, State, parts, sigmoid_slope
from bitlens.nn.recurrent_matrix import Matrix
from bitlens.quant.base import Quantizer
from bitlens.quant.state import FixedPoint, UnitActivation

__all__ = ["QuantGRU"]


class QuantGRU(QuantRecurrent):
    """One GRU layer.

    Its state is (h,). u keeps the old state; the biases of r and u start at 1, those of c at 0.
    Source: arXiv 1611.10176 and the authors' code.

    Args:
        input_size, hidden_size, state_quantizer, gate_quantizer: see `QuantRecurrent`.
        weight_quantizer: of the matrix (2H, I + H) whose rows are r, u.
        candidate_weight_quantizer: of the matrix (H, I + H) of c.

    Raises:
        QuantError: the quantizers make no exact fixed form.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        state_quantizer: UnitActivation | None = None,
        weight_quantizer: Quantizer | None = None,
        candidate_weight_quantizer: Quantizer | None = None,
        gate_quantizer: FixedPoint | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, state_quantizer, gate_quantizer)
        self.gates = self._linear([1.0, 1.0], weight_quantizer)
        self.candidate = self._linear([0.0], candidate_weight_quantizer)
        self.integers = nn.Identity() if state_quantizer is None else FixedPoint(state_quantizer.bits, 0)
        check_gru(state_quantizer, weight_quantizer, candidate_weight_quantizer, gate_quantizer)

    def to_fixed(self, gates: int = 8) -> QuantGRU:
        """Return this layer in the fixed form; both share their parameters.

        Args:
            gates: bits of r and u.

        Raises:
            QuantError: weights or states are float, or a product would not be exact.
        """
        fixed = sharing_copy(self)
        fixed.gate_quantizer = FixedPoint(gates, gates)
        weights = self.gates.weight_quantizer, self.candidate.weight_quantizer
        check_gru(self.state_quantizer, *weights, fixed.gate_quantizer)
        return fixed.train(self.training).to(self.gates.weight.device)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one step; see `QuantRecurrent`. Products of a gate and a state are those of the state's integers."""
        unit = self._unit()
        h = self.integers(state[0] / unit)
        s = self._sigmoid(self.gates(torch.cat([x, state[0]], 1)))
        r, u = parts(s if self.gate_quantizer is None else self.gate_quantizer(s), 2)
        rh = self.integers(r * h) * unit
        c = self.integers(self._sigmoid(self.candidate(torch.cat([x, rh], 1))) / unit)
        h = self.integers(u * h + (1 - u) * c) * unit
        return h, (h,)

    def _sequence(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        gates, candidate = Matrix.of(self.gates), Matrix.of(self.candidate)
        h = _Sequence.apply(x, *state, *gates, *candidate, self)  # type: ignore[no-untyped-call]
        return h, (h[-1],)


class _Sequence(torch.autograd.Function):
    """All steps, from integers to integers: the arithmetic and the gradients of `QuantGRU.step`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, h: Tensor, *rest: Any) -> Tensor:
        gates, candidate, layer = Matrix(*rest[:3]), Matrix(*rest[3:6]), rest[6]
        steps, _, inputs = x.shape
        xh = gates.weight.new_empty(steps + 1, h.shape[0], inputs + h.shape[1])  # [x, h before the step]
        xh[:-1, :, :inputs], xh[0, :, inputs:] = x, h
        xrh = torch.empty_like(xh[:-1])  # [x, Q(r h)]
        xrh[:, :, :inputs] = x
        gates_total, candidate_total = gates.inputs(xh[:-1, :, :inputs]), candidate.inputs(xh[:-1, :, :inputs])
        ru, cs = h.new_empty(gates_total.shape), h.new_empty(candidate_total.shape)  # not yet rounded
        for t in range(steps):
            ru[t] = layer._sigmoid(gates.outputs(gates_total[t], xh[t, :, inputs:]))
            r, u = layer._gates(ru[t]).chunk(2, 1)
            xrh[t, :, inputs:] = layer._rounded(r * h)
            cs[t] = layer._sigmoid(candidate.outputs(candidate_total[t], xrh[t, :, inputs:]))
            h = layer._rounded(u * h + (1 - u) * layer._codes(cs[t]))
            xh[t + 1, :, inputs:] = h
        ctx.save_for_backward(xh, xrh, ru, cs, *rest[:6])
        ctx.layer = layer
        return xh[1:, :, inputs:].to(h.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        layer: QuantGRU = ctx.layer
        xh, xrh, ru, cs, *saved = ctx.saved_tensors
        gates, candidate = (Matrix(w.float(), scale, bias) for w, scale, bias in (saved[:3], saved[3:]))
        xh, xrh = xh[:-1].float(), xrh.float()
        steps, _, hidden = grads[0].shape
        inputs = xh.shape[2] - hidden
        gates_x, gates_h = gates.scaled().tensor_split([inputs], 1)
        candidate_x, candidate_h = candidate.scaled().tensor_split([inputs], 1)
        h = xh[:, :, inputs:]
        r, u = layer._gates(ru).chunk(2, 2)
        ru_slopes = torch.cat([h, h - layer._codes(cs)], 2) * sigmoid_slope(ru)  # becomes the gradient before sigmoid
        c_slopes = (1 - u) * sigmoid_slope(cs) / layer._unit()  # likewise
        dh = torch.zeros_like(grads[0][0])
        for t in reversed(range(steps)):
            dh += grads[0][t]
            c_slopes[t] *= dh
            drh = c_slopes[t] @ candidate_h
            ru_slopes[t, :, :hidden] *= drh
            ru_slopes[t, :, hidden:] *= dh
            dh = torch.addmm(dh * u[t] + drh * r[t], ru_slopes[t], gates_h)
        dx = ru_slopes @ gates_x + c_slopes @ candidate_x if ctx.needs_input_grad[0] else None  # data need none
        return dx, dh, *gates.gradients(ru_slopes, xh), *candidate.gradients(c_slopes, xrh), None
