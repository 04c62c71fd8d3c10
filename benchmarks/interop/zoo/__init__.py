# SPDX-License-Identifier: Apache-2.0
"""Models that Brevitas builds and exports: its own examples, well-known nets, and one small net for each feature."""

from __future__ import annotations

from zoo.examples import EXAMPLES
from zoo.features import FEATURES
from zoo.model import Model
from zoo.nets import NETS
from zoo.quantizers import QUANTIZERS

__all__ = ["MODELS", "Model"]

MODELS: list[Model] = [*FEATURES, *QUANTIZERS, *NETS, *EXAMPLES]
