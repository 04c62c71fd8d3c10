# SPDX-License-Identifier: Apache-2.0
"""A sequence in progress: steps of a recurrent program, one call after the other.

>>> stream = Session("language.bitlens").stream()              # doctest: +SKIP
>>> scores = stream.run(tokens[:, None, None, None])["logits"]  # (T, 1, 1, words); the state goes on   # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bitlens.runtime import _native
from bitlens.runtime.tensor import SessionError, Tensor, checked_arrays, real_values

__all__ = ["Stream"]


class Stream:
    """One sequence; made by `Session.stream`.

    The engine takes whole sequences: Python is left once a call, whatever its number of steps.

    Raises:
        SessionError: the program has no state.
    """

    def __init__(self, model: _native.Model, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> None:
        try:
            self._stream = _native.Stream(model)
        except _native.EngineError as error:
            raise SessionError(str(error)) from None
        carried = [[*inputs.values()][place] for place, _ in model.states]
        following = {[*outputs][place] for _, place in model.states}
        self._states = {tensor.name: tensor for tensor in carried}
        self._inputs = {name: tensor for name, tensor in inputs.items() if name not in self._states}
        self._outputs = {name: tensor for name, tensor in outputs.items() if name not in following}

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What every step takes: the inputs that are no state."""
        return {**self._inputs}

    @property
    def outputs(self) -> dict[str, Tensor]:
        """What every step gives: the outputs that are no state."""
        return {**self._outputs}

    def run(self, x: npt.ArrayLike | Mapping[str, npt.ArrayLike], *, real: bool = False) -> dict[str, npt.NDArray[Any]]:
        """Take one step for each row of x, from where the last call ended.

        Args:
            x: one array (T, H, W, C), or one per input name; as in `Session.run`, with steps in place of images.
            real: return scale * integer + offset, float32.

        Returns:
            int32 (float32 with `real`) arrays (T, H, W, C) by output name.

        Raises:
            SessionError: an input does not fit, or two threads use this stream; no step has been taken then.
        """
        arrays = checked_arrays(self._inputs, x)
        steps = len(arrays[0])
        outputs = {name: np.empty((steps, *tensor.shape), np.int32) for name, tensor in self._outputs.items()}
        try:
            self._stream.step(steps, arrays, [*outputs.values()])
        except _native.EngineError as error:
            raise SessionError(str(error)) from None
        return {n: real_values(a, self._outputs[n]) for n, a in outputs.items()} if real else {**outputs}

    def reset(self) -> None:
        """Go back to the initial state.

        Raises:
            SessionError: another thread uses this stream.
        """
        try:
            self._stream.reset()
        except _native.EngineError as error:
            raise SessionError(str(error)) from None

    @property
    def state(self) -> dict[str, npt.NDArray[np.int32]]:
        """The integers (H, W, C) of every state, by the name of its input; what is set is taken whole or not at all."""
        arrays = {name: np.empty(tensor.shape, np.int32) for name, tensor in self._states.items()}
        try:
            self._stream.read([*arrays.values()])
        except _native.EngineError as error:
            raise SessionError(str(error)) from None
        return arrays

    @state.setter
    def state(self, state: Mapping[str, npt.ArrayLike]) -> None:
        rows = {name: np.asarray(array)[None] for name, array in state.items()}
        arrays = [np.ascontiguousarray(array[0], np.int32) for array in checked_arrays(self._states, rows)]
        try:
            self._stream.write(arrays)
        except _native.EngineError as error:
            raise SessionError(str(error)) from None
