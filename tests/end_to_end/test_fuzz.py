# SPDX-License-Identifier: Apache-2.0
"""Some hundreds of random models and of broken files, a few random circuits; `fuzz.py` looks at thousands."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import check_bytes, check_circuit, check_graph, check_model, check_requantized

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_every_form_of_a_random_model_yields_the_same_integers(seed: int) -> None:
    check_model(seed)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_every_form_of_a_requantized_model_yields_the_same_integers(seed: int) -> None:
    check_requantized(seed)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_faulty_graphs_are_compiled_right_or_refused_in_one_line(seed: int) -> None:
    check_graph(seed)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(seed=SEEDS)
def test_broken_bytes_are_compiled_right_or_refused_in_one_line(seed: int) -> None:
    check_bytes(seed)


@settings(max_examples=3, deadline=None, derandomize=True)  # each is compiled for some seconds
@given(seed=SEEDS)
def test_circuits_of_random_programs_yield_golden_s_integers_or_are_refused(seed: int) -> None:
    check_circuit(seed)
