# SPDX-License-Identifier: Apache-2.0
"""Language model: embedding, one recurrent layer, and a softmax matrix over all words.

Everything that enters a matrix product is quantized, the softmax matrix too; biases are float. Dropout stands on x and
on the h that feeds the softmax, not on the recurrent h. In training it divides the codes that it keeps by their share,
and they are rounded again, so codes in evaluation keep their range. The ends are quantized like the middle: `first=` and
`last=` of a spec do not matter here.
Source: arXiv 1611.10176, its Penn Treebank model.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn

from bitlens.nn.embedding import QuantEmbedding
from bitlens.nn.fixed_form import sharing_copy
from bitlens.nn.gru import QuantGRU
from bitlens.nn.linear import QuantLinear
from bitlens.nn.lstm import QuantLSTM
from bitlens.nn.recurrent import State
from bitlens.nn.recurrent_matrix import Matrix
from bitlens.quant import QuantError, Quantizer, Spec
from bitlens.quant.spec import FLOAT
from bitlens.quant.state import UnitActivation

__all__ = ["LanguageModel", "check_language"]

# One half, the paper's share, is of far longer trainings: on Penn Treebank an LSTM 2/2 with one half ends at 179.5 in
# training and 166.8 in validation (docs/results/ptb/lstm_w2a2), with 0.15 and centred steps at 84.5 and 132.2
# (docs/results/recurrent/lstm_22_balanced_seed0).
_DROPOUT = 0.15


def check_language(owner: str, spec: Spec) -> None:
    """Check that a language model can be quantized so.

    Args:
        owner: who asks, for the sentence.
        spec: of the model.

    Raises:
        QuantError: the spec quantizes gradients, learns activation scales or has layers with bits of their own.
    """
    if spec.activation not in ("clip", "cabs"):
        raise QuantError(f"{owner}: activation must be clip or cabs, not {spec.activation}")
    if spec.layers:
        raise QuantError(
            f"{owner}: layers must have the bits of the whole net, not {len(spec.layers)} bits of their own"
        )
    if spec.middle.gradient != FLOAT:
        raise QuantError(f"{owner}: gradient bits must be {FLOAT} (float), not {spec.middle.gradient}")


class LanguageModel(nn.Module):
    """Predicts the next word.

    Args:
        spec: how it is quantized.
        cell: "lstm" or "gru".
        vocabulary: number of words.
        hidden: units of embedding and recurrent layer.
        form: "paper" (float gates and cell) or "fixed" (fixed point, compiles to integers).
        dropout: share of codes dropped in training.

    Raises:
        ValueError: cell or form is none of these.
        QuantError: the spec is none for a language model; see `check_language`.
    """

    def __init__(
        self,
        spec: Spec,
        cell: str = "lstm",
        vocabulary: int = 10000,
        hidden: int = 300,
        form: str = "paper",
        dropout: float = _DROPOUT,
    ) -> None:
        super().__init__()
        bits = spec.middle.activation
        for name, rule, value in (("cell", "lstm or gru", cell), ("form", "paper or fixed", form)):
            if value not in rule.split(" or "):
                raise ValueError(f"LanguageModel: {name} must be {rule}, not {value}")
        check_language("LanguageModel", spec)
        state = None if bits == FLOAT else UnitActivation(bits)
        self.embedding = QuantEmbedding(vocabulary, hidden, output_quantizer=spec.activation_quantizer())
        self.dropout = nn.Dropout(dropout)
        self.cell = _cell(cell, hidden, state, spec)
        if form == "fixed":
            self.cell = self.cell.to_fixed()
        self.output = QuantLinear(hidden, vocabulary, input_quantizer=state, weight_quantizer=spec.weight_quantizer())
        reach = math.sqrt(3 / hidden)
        nn.init.uniform_(self.output.weight, -reach, reach)
        if self.output.weight_quantizer is not None:
            self.output.weight_quantizer.begin(self.output.weight.detach())  # what is learned starts from these
        assert self.output.bias is not None
        nn.init.zeros_(self.output.bias)

    def to_fixed(self, **form: Any) -> LanguageModel:
        """Return this net with its recurrent layer in the fixed form; both share their parameters.

        Args:
            form: arguments of `QuantLSTM.to_fixed` or `QuantGRU.to_fixed`.

        Raises:
            QuantError: weights or states are float, or a product would not be exact.
        """
        fixed = sharing_copy(self)
        fixed.cell = self.cell.to_fixed(**form)
        return fixed

    def initial_state(self, batch: int) -> State:
        """Return the state before the first word, tensors (N, H)."""
        return self.cell.initial_state(batch)

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run a sequence.

        Args:
            tokens: (N, T), int64.
            state: as returned by the last call, or None for the initial one.

        Returns:
            (logits of the next word (N, T, V), float32, the state after the last word).
        """
        x = self.dropout(self.embedding(tokens))
        h, state = self.cell(x, state)
        logits = self._logits(self.dropout(h).flatten(0, 1))  # (N, T, H) -> (N T, V)
        return logits.view(*tokens.shape, -1), state

    def _logits(self, h: Tensor) -> Tensor:
        """Return `self.output(h)`; in training by a product with a leaner backward (9 % of a step with 10,000 words)."""
        if not self.training or self.output.weight_quantizer is None:
            logits: Tensor = self.output(h)
            return logits
        if isinstance(self.output.input_quantizer, Quantizer):
            h, _ = self.output.input_quantizer.codes(h)
        return Matrix.of(self.output).product(h)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Run one word in plain torch operators: tokens (N,), state -> (logits (N, V), state)."""
        h, state = self.cell.step(self.dropout(self.embedding(tokens)), state)
        logits: Tensor = self.output(self.dropout(h))
        return logits, state


def _cell(name: str, size: int, state: UnitActivation | None, spec: Spec) -> QuantLSTM | QuantGRU:
    weight, candidate = spec.weight_quantizer(), spec.weight_quantizer()
    if name == "lstm":
        return QuantLSTM(size, size, state_quantizer=state, weight_quantizer=weight)
    return QuantGRU(size, size, state_quantizer=state, weight_quantizer=weight, candidate_weight_quantizer=candidate)
