# SPDX-License-Identifier: Apache-2.0
"""A training step on CUDA, recorded once and replayed.

A step of a small net is some hundreds of short kernels, and starting them one by one from Python takes longer than they
run. A CUDA graph starts all of them at once. What changes from step to step (the batch, the learning rate, a state
carried from batch to batch) is copied to the addresses that the graph reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from bitlens.train.recipe import TrainError
from bitlens.train.task import Task

__all__ = ["Replay", "Step"]

Step = Callable[[Tensor, Tensor], tuple[Tensor, Mapping[str, float | Tensor]]]

_WARM = 5  # steps that run as they are, so that buffers of the optimizer and of libraries exist


class Replay:
    """Calls a step, from the sixth call on by replaying its record.

    Args:
        step: from (inputs, targets) on the device to (loss, figures); it must not wait for the device.
        task: whose carried state the step reads and replaces.
        name: of the recipe, for the sentence.
    """

    def __init__(self, step: Step, task: Task, name: str) -> None:
        self.step, self.task, self.name = step, task, name
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def __call__(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """Learn from one batch; what it returns is overwritten by the next call.

        Raises:
            TrainError: the step cannot be recorded.
        """
        carried = self.task.carried
        self.calls += 1
        if self.calls <= _WARM or carried is None:  # a text begins anew from the net's own initial state
            return self._as_it_is(inputs, targets)
        if self.graph is None:
            self._record(inputs, targets, carried)
        for kept, new in zip(self.read, (inputs, targets, *carried), strict=True):
            kept.copy_(new)
        assert self.graph is not None
        self.graph.replay()
        self.task.carried = self.left
        return self.returned

    def _as_it_is(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """Run beside the default stream, where nothing can be recorded."""
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream):
            returned = self.step(inputs, targets)
        current.wait_stream(self.stream)
        return returned

    def _record(self, inputs: Tensor, targets: Tensor, carried: tuple[Tensor, ...]) -> None:
        self.read = [tensor.clone() for tensor in (inputs, targets, *carried)]
        self.task.carried = tuple(self.read[2:])
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self.stream):
                self.returned = self.step(self.read[0], self.read[1])
        except RuntimeError as error:
            raise TrainError(
                f"{self.name}: a step must not wait for the device to be recorded; train without --record "
                f"({str(error).partition(chr(10))[0]})"
            ) from error
        self.graph, self.left = graph, self.task.carried
        self.task.carried = carried
