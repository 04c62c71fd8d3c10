# SPDX-License-Identifier: Apache-2.0
"""Recurrent nets in the fixed form: torch == golden == engine, every score and every state of a sequence."""

from dataclasses import dataclass

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from torch import nn

import bitlens
from bitlens.graph.file import Program
from bitlens.models import LanguageModel
from bitlens.nn import QuantGRU, QuantLSTM, freeze
from bitlens.qonnx.export import export
from bitlens.quant import (
    BalancedWeight,
    MaxScaledWeight,
    MeanScaledWeight,
    QuantError,
    Spec,
    UniformMaxWeight,
    UnitActivation,
)
from bitlens.runtime import Session
from processors import ISAS

WORDS = 9


@dataclass(frozen=True)
class Form:
    """A recurrent net: what decides its arithmetic."""

    lstm: bool
    family: str
    weights: int
    states: int
    gates: int
    cell: tuple[int, int]
    hidden: int
    inputs: int = 0  # 0: a language model
    spread: float = 1.0  # of its weights, so that sums reach far
    seed: int = 0

    def net(self) -> nn.Module:
        """The frozen net; QuantError where float32 could not hold its products."""
        torch.manual_seed(self.seed)
        fixed = {"gates": self.gates, "cell": self.cell} if self.lstm else {"gates": self.gates}
        if self.inputs:
            kinds = {
                "mean": MeanScaledWeight,
                "max": MaxScaledWeight,
                "uniform": UniformMaxWeight,
                "balanced": BalancedWeight,
            }
            one, two = (kinds[self.family](self.weights) for _ in "ab")
            sizes, state = (self.inputs, self.hidden), UnitActivation(self.states)
            net: nn.Module = (
                QuantLSTM(*sizes, state_quantizer=state, weight_quantizer=one)
                if self.lstm
                else QuantGRU(*sizes, state_quantizer=state, weight_quantizer=one, candidate_weight_quantizer=two)
            ).to_fixed(**fixed)
        else:
            spec = Spec.parse(f"w{self.weights}a{self.states},weight={self.family}")
            net = LanguageModel(spec, "lstm" if self.lstm else "gru", WORDS, self.hidden).to_fixed(**fixed)
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                if "embedding" not in name:
                    parameter.mul_(self.spread)
        return freeze(net)

    def sequence(self, steps: int) -> torch.Tensor:
        """One sequence (1, T) of words, or (1, T, I) of states."""
        generator = torch.Generator().manual_seed(self.seed)
        if not self.inputs:
            return torch.randint(0, WORDS, (1, steps), generator=generator)
        return UnitActivation(self.states)(torch.rand(1, steps, self.inputs, generator=generator))


def exported(net: nn.Module, form: Form) -> onnx.ModelProto:
    return export(net, torch.zeros(1, form.inputs) if form.inputs else torch.zeros(1, dtype=torch.int64))


def rows(sequence: torch.Tensor) -> np.ndarray:
    """(1, T) or (1, T, I) -> (T, 1, 1, 1 or I)."""
    return sequence.numpy().reshape(sequence.shape[1], 1, 1, -1)


def assert_like_torch(form: Form, steps: int = 9) -> Program:
    net, sequence = form.net(), form.sequence(steps)
    with torch.no_grad():
        wanted, state = net(sequence)
    program = bitlens.compile(exported(net, form))
    x = rows(sequence)
    golden, end = program.run_sequence(x)
    for name, real in zip(("h", "c"), state, strict=False):
        scale = program.graph.value(name).scale
        np.testing.assert_array_equal(end[name].reshape(-1).astype(np.float32) * scale, real[0].numpy(), err_msg=name)
    for isa in ISAS:
        session = Session(program, isa=isa)
        whole, single = session.stream(), session.stream()
        scores = whole.run(x, real=True)["scores"]
        np.testing.assert_array_equal(scores.reshape(steps, -1), wanted[0].numpy(), err_msg=isa)
        for step in range(steps):
            (found,) = single.run(x[step : step + 1]).values()
            np.testing.assert_array_equal(found[0], golden["scores"][step], err_msg=f"{isa}, step {step}")
        for stream in (whole, single):
            for name, integers in stream.state.items():
                np.testing.assert_array_equal(integers, end[name], err_msg=f"{isa} {name}")
    return program


CELLS = st.sampled_from([(12, 8), (4, 2), (9, 8), (12, 4), (10, 9), (6, 6), (3, 0), (8, 7)])
FORMS = st.builds(
    Form,
    lstm=st.booleans(),
    family=st.sampled_from(["mean", "max", "uniform", "balanced"]),
    weights=st.integers(1, 4),
    states=st.integers(1, 4),
    gates=st.integers(1, 8),
    cell=CELLS,
    hidden=st.integers(1, 9),
    inputs=st.sampled_from([0, 1, 3, 8]),
    spread=st.floats(0.3, 20),
    seed=st.integers(0, 1 << 30),
)


@given(FORMS)
@settings(deadline=None, max_examples=4)
def test_a_sequence_is_what_torch_computes(form: Form) -> None:
    try:
        form.net()
    except QuantError:
        reject()  # products beyond float32
    assert_like_torch(form)


@pytest.mark.parametrize(
    "form",
    [
        Form(True, "mean", 2, 2, 8, (12, 8), 70),  # past the engine's lanes
        Form(False, "mean", 2, 2, 8, (0, 0), 70),
        Form(True, "balanced", 3, 4, 6, (10, 8), 5, inputs=3, spread=9),  # the cell's point finer than the gates'
        Form(True, "uniform", 3, 4, 6, (10, 3), 5, inputs=3, spread=9),  # and coarser
        Form(True, "mean", 1, 1, 1, (1, 0), 1, inputs=1),
        Form(False, "balanced", 1, 1, 1, (0, 0), 1, inputs=1),
    ],
    ids=str,
)
def test_forms_at_the_edges(form: Form) -> None:
    assert_like_torch(form)
