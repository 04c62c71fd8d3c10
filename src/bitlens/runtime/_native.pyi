from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Tensor = tuple[str, tuple[int, int, int], tuple[int, int, int], list[float], list[float], int]
_Layer = tuple[str, str, str, str, str, tuple[int, int, int], tuple[int, int, int]]

class EngineError(Exception): ...

def multiply(
    codes: npt.NDArray[np.uint8],
    code_bits: int,
    weights: npt.NDArray[np.uint8],
    weight_bits: int,
    backward: bool,
    stride: Sequence[int],
    pads: Sequence[int],
    sums: npt.NDArray[np.int32],
    threads: int,
    isa: str | None,
) -> None: ...
def weight_sums(
    activations: npt.NDArray[np.uint8],
    activation_bits: int,
    gradients: npt.NDArray[np.uint8],
    gradient_bits: int,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    sums: npt.NDArray[np.int32],
    threads: int,
    isa: str | None,
) -> None: ...
def weight_total(
    activations: npt.NDArray[np.uint8],
    activation_bits: int,
    gradients: npt.NDArray[np.uint8],
    gradient_bits: int,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    scales: npt.NDArray[np.float32],
    total: npt.NDArray[np.float32],
    threads: int,
    isa: str | None,
) -> None: ...

class Model:
    def __init__(self, data: bytes, threads: int, isa: str | None, height: int, width: int, keep: bool) -> None: ...
    @property
    def inputs(self) -> list[Tensor]: ...
    @property
    def outputs(self) -> list[Tensor]: ...
    @property
    def kept(self) -> list[Tensor]: ...
    @property
    def layers(self) -> list[_Layer]: ...
    @property
    def states(self) -> list[tuple[int, int]]: ...
    @property
    def threads(self) -> int: ...
    @property
    def arena_bytes(self) -> int: ...
    def run(
        self,
        inputs: Sequence[npt.NDArray[np.uint8] | npt.NDArray[np.int32]],
        outputs: Sequence[npt.NDArray[np.int32]],
        kept: Sequence[npt.NDArray[np.int32]],
    ) -> None: ...

class Stream:
    def __init__(self, model: Model) -> None: ...
    def step(
        self,
        steps: int,
        inputs: Sequence[npt.NDArray[np.uint8] | npt.NDArray[np.int32]],
        outputs: Sequence[npt.NDArray[np.int32]],
    ) -> None: ...
    def reset(self) -> None: ...
    def read(self, states: Sequence[npt.NDArray[np.int32]]) -> None: ...
    def write(self, states: Sequence[npt.NDArray[np.int32]]) -> None: ...
