# SPDX-License-Identifier: Apache-2.0
"""The pass that finds shapes; it lives with the graph, because readers of float islands use it too."""

from bitlens.graph.infer_shapes import infer_shapes

__all__ = ["infer_shapes"]
