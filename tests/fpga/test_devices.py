# SPDX-License-Identifier: Apache-2.0
"""Data files of devices."""

import re

import pytest

from bitlens.fpga.devices import device_names, load_device
from bitlens.fpga.network import FpgaError


@pytest.mark.parametrize("name", device_names())
def test_every_number_has_a_source(name: str) -> None:
    device = load_device(name)
    assert device.name == name
    assert device.family in ("xc7", "ecp5", "gowin", "ice40")
    assert device.sources.keys() == {"lut", "ff", "dsp", "bram", "widths"}
    assert min(device.lut, device.ff, device.bram.count) > 0
    assert all(device.bram.bits >= width for width in device.bram.widths)


def test_the_reference_device() -> None:
    device = load_device("xc7z030")
    assert (device.lut, device.ff, device.bram.count, device.dsp) == (78_600, 157_200, 265, 400)


def test_an_unknown_device_is_refused() -> None:
    sentence = f"device: must be one of {', '.join(device_names())}, not xc2s15"
    with pytest.raises(FpgaError, match=f"^{re.escape(sentence)}$"):
        load_device("xc2s15")
