# SPDX-License-Identifier: Apache-2.0
import re
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch

from bitlens.train import TrainError
from bitlens.train.memory import telling_memory

CPU = torch.device("cpu")
SENTENCE = (
    "digits: memory must hold a batch of 32 on cpu, not run out; "
    "finished epochs are kept, a new run may take a smaller --batch "
)


def out_of_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nsecond line")


def no_words() -> None:
    raise MemoryError


@pytest.mark.parametrize(
    ("allocate", "reason"),
    [
        (lambda: torch.empty(1 << 50), r"\(\[enforce fail at .*DefaultCPUAllocator: can't allocate memory: .*\)"),
        (lambda: np.empty(1 << 55), r"\(Unable to allocate 256\. PiB for an array .*\)"),
        (out_of_memory, r"\(CUDA out of memory\. Tried to allocate 2\.00 GiB\.\)"),
        (no_words, r"\(MemoryError\)"),
    ],
)
def test_every_allocator_is_told_in_one_line(allocate: Callable[[], object], reason: str) -> None:
    with pytest.raises(TrainError) as caught, telling_memory("digits", 32, CPU):
        allocate()
    told = str(caught.value)
    assert told.startswith(SENTENCE)
    assert re.fullmatch(reason, told[len(SENTENCE) :])


def test_other_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="^shape$"), telling_memory("digits", 32, CPU):
        raise RuntimeError("shape")


def test_memory_is_kept_for_the_next_step() -> None:
    """64 MB that were freed are still the process's, where it asked for that."""
    code = """
import sys, torch
from bitlens.train.memory import keep_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

if sys.argv[1] == "keep":
    assert keep_memory()
before = resident()
array = torch.ones(1 << 24)
del array
print(resident() - before >= 1 << 25)
"""
    found = [
        subprocess.run([sys.executable, "-c", code, way], capture_output=True, text=True, check=True).stdout.strip()
        for way in ("keep", "give")
    ]
    assert found == ["True", "False"]
