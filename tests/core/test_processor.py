# SPDX-License-Identifier: Apache-2.0
import platform
from pathlib import Path

import pytest

from bitlens.core import processor
from bitlens.core.processor import processor_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b"processor\t: 0\nmodel name\t: AMD EPYC 7B13 \nprocessor\t: 1\nmodel name\t: another\n", "AMD EPYC 7B13"),
        (b"processor\t: 0\nBogoMIPS\t: 48.00\n", platform.machine()),  # ARM
        (b"model name\t:\nmodel name\t: \xff one\n", "\ufffd one"),
        (b"", platform.machine()),
        (None, platform.machine()),
    ],
)
def test_a_processor_has_a_name(text: bytes | None, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cpuinfo"
    if text is not None:
        path.write_bytes(text)
    monkeypatch.setattr(processor, "_CPUINFO", path)
    assert processor_name() == name
