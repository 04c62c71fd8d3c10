# SPDX-License-Identifier: Apache-2.0
"""The processes of one run: `torchrun` starts them, DDP averages their gradients, the first one decides and writes.

torchrun --nproc-per-node 2 -m bitlens.cli train dorefa_cifar10 --data cifar10 --out run --resume
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bitlens.train.exchange import FLOAT, Exchange
from bitlens.train.recipe import TrainError

if dist.is_available():  # before a group is begun: DDP imports it, and its defaults would hold that group for ever
    import torch.distributed.nn

__all__ = ["Group", "joined", "process_count", "process_number"]

T = TypeVar("T")

_PATIENCE = timedelta(hours=6)  # the others wait while the first one evaluates; torchrun ends them if it dies


def process_count() -> int:
    """How many processes `torchrun` has started; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if "RANK" in os.environ and "WORLD_SIZE" in os.environ else 1


def process_number() -> int:
    """This one's number among them; 0 decides, writes and prints."""
    return int(os.environ["RANK"]) if process_count() > 1 else 0


class Group:
    """The processes of a run; by default the only one.

    Args:
        number: this process's, from 0.
        count: of processes.
        wire_bits: of a gradient between processes; see `exchange`.
        seed: of its noise.
    """

    def __init__(self, number: int = 0, count: int = 1, wire_bits: int = FLOAT, seed: int = 0) -> None:
        self.number, self.count, self.wire_bits, self.seed = number, count, wire_bits, seed
        self.exchange: Exchange | None = None
        self._spread: DistributedDataParallel | None = None

    @property
    def leads(self) -> bool:
        """Whether this process decides and writes."""
        return self.number == 0

    def told(self, decide: Callable[[], T]) -> T:
        """Return what the first process decides, in every one; what it raises is raised in every one."""
        if self.count == 1:
            return decide()
        answer: list[Any] = [None]
        if self.leads:
            try:
                answer = [(decide(), None)]
            except Exception as error:
                answer = [(None, error)]
        dist.broadcast_object_list(answer)
        value, raised = answer[0]
        if raised is not None:
            raise raised
        found: T = value
        return found

    def gathered(self, own: T) -> list[T]:
        """Return every process's object, in their order."""
        if self.count == 1:
            return [own]
        everyone: list[Any] = [None] * self.count
        dist.all_gather_object(everyone, own)
        return everyone

    def mean(self, own: float | Tensor, device: torch.device) -> float | Tensor:
        """Return the mean of a number over all processes.

        Args:
            own: this process's.
            device: that the processes send from.
        """
        if self.count == 1:
            return own
        total = torch.as_tensor(own, dtype=torch.float64, device=device).clone()
        dist.all_reduce(total)
        return total / self.count

    def spread(self, net: nn.Module) -> nn.Module:
        """Return what to call in the net's place while it learns: backward then averages gradients over all processes.

        The net has the first process's weights after it. Running averages of batch norms stay each process's own.
        """
        if self.count == 1:
            return net
        self.release()  # that of an earlier stage
        self.exchange = Exchange(net, self.wire_bits, self.seed)
        with warnings.catch_warnings():  # torch 2.13 has another name for this, which 2.11 does not know
            warnings.simplefilter("ignore", FutureWarning)
            spread = DistributedDataParallel(net, broadcast_buffers=False)
        spread.register_comm_hook(None, self.exchange.average)
        self._spread = spread
        return spread

    def release(self) -> None:
        """Let go of the net of `spread`, which cannot be called any more.

        What averages its gradients holds the group, and with it the threads of gloo; one that drops its last tensor
        while Python shuts down aborts the process, though all was learned. Before the group is destroyed: the last one
        to let go of it waits for its threads, and a DDP net would do so without letting them have Python's lock.
        """
        if self._spread is not None:
            self._spread.reducer = self._spread.logger = self._spread.process_group = None  # type: ignore[assignment]
            self._spread = None

    def apart(self, net: nn.Module, alone: bool) -> AbstractContextManager[None]:
        """A context whose backward leaves gradients in this process, if `alone`; net as `spread` returned it."""
        if alone and isinstance(net, DistributedDataParallel):
            quiet: AbstractContextManager[None] = net.no_sync()
            return quiet
        return nullcontext()

    def take_sent(self) -> dict[str, float]:
        """Return the bytes that this process has sent since the last call: gradients, and had they been float32."""
        if self.exchange is None:
            return {}
        sent = {"wire_bytes": self.exchange.sent, "wire_bytes_float": self.exchange.sent_float}
        self.exchange.sent = self.exchange.sent_float = 0.0
        return sent


@contextmanager
def joined(device: torch.device, wire_bits: int, seed: int) -> Iterator[Group]:
    """Meet the other processes that `torchrun` has started; alone without it. Nothing of a group it began is left.

    Args:
        device: of the nets; on CUDA each process takes the GPU of its number on its machine.
        wire_bits: see `Group`.
        seed: of its noise.

    Raises:
        TrainError: there are more processes than GPUs, or one has died.
    """
    count = process_count()
    if count == 1:
        yield Group(seed=seed)
        return
    if device.type == "cuda":
        local, gpus = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
        if local >= gpus:
            raise TrainError(f"device: must have a GPU for every process, not {gpus} for number {local + 1}")
        torch.cuda.set_device(local)
    begun = dist.is_initialized()
    if not begun:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    group = Group(dist.get_rank(), count, wire_bits, seed)
    try:
        with warnings.catch_warnings():  # filters of one input channel have two layouts that are the same
            warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
            yield group
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        reason = str(error).partition("\n")[0]
        raise TrainError(
            f"processes: all must live, not lose one; run the same command with --resume ({reason})"
        ) from error
    finally:
        group.release()
        if not begun:
            dist.destroy_process_group()
