from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Tensor = tuple[str, tuple[int, int, int], tuple[int, int, int], list[float], list[float], int]
_Layer = tuple[str, str, str, str, str, tuple[int, int, int], tuple[int, int, int]]

class EngineError(Exception): ...

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
    def threads(self) -> int: ...
    @property
    def arena_bytes(self) -> int: ...
    def run(
        self,
        inputs: Sequence[npt.NDArray[np.uint8] | npt.NDArray[np.int32]],
        outputs: Sequence[npt.NDArray[np.int32]],
        kept: Sequence[npt.NDArray[np.int32]],
    ) -> None: ...
