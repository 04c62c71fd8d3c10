# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bitlens.quant import (
    AccumulatorBias,
    BalancedWeight,
    Bits,
    DoReFaActivation,
    DoReFaGradient,
    DoReFaWeight,
    LSQActivation,
    NarrowWeight,
    PACTActivation,
    PowerOfTwoWeight,
    QuantError,
    Spec,
    UnsignedInput,
)

WEIGHTS = st.integers(1, 8) | st.just(32)
OTHERS = st.integers(1, 16) | st.just(32)
FAMILY_BITS = {
    "balanced_max": 3,
    "mean": 2,
    "max": 2,
    "uniform": 8,
    "ternary": 2,
    "bipolar": 1,
    "lsq": 2,
    "lsq_channel": 4,
}
NINES = 5000 * "9"
BITS = st.builds(Bits, WEIGHTS, OTHERS, OTHERS)


@given(BITS, BITS, BITS, st.sampled_from(["dorefa", "balanced", "balanced_median"]), st.sampled_from(["clip", "cabs"]))
def test_a_spec_survives_its_string(middle: Bits, first: Bits, last: Bits, weight: str, activation: str) -> None:
    spec = Spec(middle, first, last, weight, activation)
    assert Spec.parse(str(spec)) == spec


def test_defaults() -> None:
    spec = Spec.parse("w1a2g6")
    assert spec.middle == Bits(1, 2, 6)
    assert spec.first == spec.last == Bits(8, 8, 32)
    assert (spec.weight, spec.activation) == ("dorefa", "clip")
    assert Spec.parse("w1").middle == Bits(1, 32, 32)
    assert Spec.parse("w32a32g32").first == Bits(32, 32, 32)


def test_keys_in_the_string_and_as_arguments() -> None:
    spec = Spec.parse("w2a2, first=w4a8 , weight=balanced", weight="balanced_median", activation="cabs")
    assert spec.first == Bits(4, 8, 32)
    assert (spec.weight, spec.activation) == ("balanced_median", "cabs")


def test_a_spec_makes_quantizers() -> None:
    spec = Spec.parse("w1a2g6")
    assert isinstance(spec.weight_quantizer(), DoReFaWeight)
    activation = spec.activation_quantizer()
    assert isinstance(activation, DoReFaActivation)
    assert activation.bits == 2
    assert isinstance(spec.input_quantizer(), UnsignedInput)
    assert isinstance(spec.end_weight_quantizer(spec.first), NarrowWeight)
    assert isinstance(spec.end_weight_quantizer(Bits(1)), DoReFaWeight)
    gradient = spec.gradient_quantizer(spec.middle, 5)
    assert isinstance(gradient, DoReFaGradient)
    assert gradient.state() == (5, 0)
    assert spec.gradient_quantizer(spec.first, 0) is None
    assert isinstance(spec.bias_quantizer(), AccumulatorBias)
    assert isinstance(Spec.parse("w2a2,weight=balanced").weight_quantizer(), BalancedWeight)


def test_families_by_name() -> None:
    made = {name: Spec.parse(f"w{bits}a2,weight={name}").weight_quantizer() for name, bits in FAMILY_BITS.items()}
    assert {name: type(quantizer).__name__ for name, quantizer in made.items()} == {
        "balanced_max": "BalancedWeight",
        "mean": "MeanScaledWeight",
        "max": "MaxScaledWeight",
        "uniform": "UniformMaxWeight",
        "ternary": "TernaryWeight",
        "bipolar": "BipolarWeight",
        "lsq": "LSQWeight",
        "lsq_channel": "LSQWeight",
    }
    assert made["balanced_max"].reach == "max"
    assert made["lsq_channel"].channels
    assert isinstance(Spec.parse("w2a2,activation=pact").activation_quantizer(), PACTActivation)
    assert isinstance(Spec.parse("w2a2,activation=lsq").activation_quantizer(), LSQActivation)


def test_switches() -> None:
    text = "w2a2g4,first=w8a8g32,last=w8a8g32,weight=lsq,activation=lsq,scale=pow2,noise=off"
    spec = Spec.parse(text)
    assert str(spec) == text
    assert isinstance(spec.weight_quantizer(), PowerOfTwoWeight)
    assert spec.activation_quantizer().scale == 0.25
    assert not spec.gradient_quantizer(spec.middle, 0).noise
    assert "scale" not in str(Spec.parse("w2a2,scale=free"))


def test_layers_with_bits_of_their_own() -> None:
    text = "w8a8g4,first=w8a8g32,last=w8a8g32,weight=dorefa,activation=clip,layers=w4a4/w1a2"
    spec = Spec.parse(text)
    assert str(spec) == text
    assert [spec.bits_of(number) for number in range(2)] == [Bits(4, 4, 4), Bits(1, 2, 4)]
    assert spec.weight_quantizer(spec.bits_of(1)).bits == 1
    with pytest.raises(QuantError) as caught:
        spec.bits_of(2)
    assert str(caught.value) == "layers: must name the bits of every middle layer of the net, not of 2 only"
    assert Spec.parse("w2a2").bits_of(99) == Spec.parse("w2a2").middle


def test_a_float_spec_makes_none() -> None:
    spec = Spec.parse("w32a32")
    assert spec.weight_quantizer() is None
    assert spec.input_quantizer() is None
    assert spec.end_weight_quantizer(spec.last) is None
    assert spec.bias_quantizer() is None
    assert isinstance(spec.activation_quantizer(), nn.ReLU)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("1a2", 'bits: must look like w1a2g6, not "1a2"'),
        ("w9a2", "bits: w must be 1 to 8 or 32, not 9"),
        ("w1a17", "bits: a must be 1 to 16 or 32, not 17"),
        ("w1a2g0", "bits: g must be 1 to 16 or 32, not 0"),
        ("w1a2,first=8", 'first: must look like w1a2g6, not "8"'),
        (
            "w1a2,middle=w1",
            "bits: key must be one of first, last, weight, activation, scale, noise, join, layers, not middle",
        ),
        ("w1a2,cabs", 'bits: every part after the first must be key=value, not "cabs"'),
        (
            "w1a2,weight=xnor",
            "bits: weight must be one of dorefa, balanced, balanced_median, balanced_max, mean, max, uniform, ternary, bipolar, "
            "lsq, lsq_channel, not xnor",
        ),
        ("w1a2,activation=relu", "bits: activation must be one of clip, cabs, pact, lsq, not relu"),
        ("w1a2,scale=two", "bits: scale must be one of free, pow2, not two"),
        ("w1a2,noise=0", "bits: noise must be one of on, off, not 0"),
        ("w1a2,scale=pow2", "bits: activation must be one of pact, lsq for scale=pow2, not clip"),
        ("w1a2,weight=ternary", "weight=ternary: bits must be 2, not 1"),
        ("w2a2,weight=bipolar", "weight=bipolar: bits must be 1, not 2"),
        ("w1a2,weight=lsq", "weight=lsq: bits must be 2 to 8, not 1"),
        ("w2a2,weight=lsq,layers=w2a2/w1a2", "weight=lsq: bits must be 2 to 8, not 1"),
        ("w2a2,layers=w2a2,w1a2", 'bits: every part after the first must be key=value, not "w1a2"'),
        ("w1a2g4,first=w8a8,first=w4a4", "bits: first must be given once, not twice"),
        ("w2a2,noise=off,join=float, noise = off", "bits: noise must be given once, not twice"),
        ("w٢a2", 'bits: must look like w1a2g6, not "w٢a2"'),  # a digit of another script
        ("w2a2,first=w8a٨", 'first: must look like w1a2g6, not "w8a٨"'),
        pytest.param("w" + NINES, f'bits: must look like w1a2g6, not "w{NINES}"', id="more than int reads"),
        ("w2a2,", 'bits: every part after the first must be key=value, not ""'),
        (
            "w2a2,weight=",
            "bits: weight must be one of dorefa, balanced, balanced_median, balanced_max, mean, max, uniform, "
            "ternary, bipolar, lsq, lsq_channel, not nothing",
        ),
        ("w2a2,noise=", "bits: noise must be one of on, off, not nothing"),
        (
            "w2a2,=w2a2",
            "bits: key must be one of first, last, weight, activation, scale, noise, join, layers, not nothing",
        ),
        ("w2a2,layers=w2a2/", 'layers: must look like w1a2g6, not ""'),
        ("w2a2,layers=w2a2g4", 'layers: bits must look like w4a4, gradients are those of the whole net, not "w2a2g4"'),
    ],
)
def test_mistakes_are_told(text: str, sentence: str) -> None:
    with pytest.raises(QuantError) as caught:
        Spec.parse(text)
    assert str(caught.value) == sentence
