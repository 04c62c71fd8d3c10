# SPDX-License-Identifier: Apache-2.0
"""What every element of `rtl/` gives for what it takes, in numpy: slow, obvious, without a clock."""

from bitlens.fpga.models.table import MODELS, model

__all__ = ["MODELS", "model"]
