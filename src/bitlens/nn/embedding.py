# SPDX-License-Identifier: Apache-2.0
"""Embedding whose rows are quantized as they are looked up."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["QuantEmbedding"]


class QuantEmbedding(nn.Embedding):
    """`torch.nn.Embedding` with a float table and quantized output, Q(table[token]).

    The table starts uniform in [0, 1), the range that the bound of an activation quantizer keeps.
    Source: arXiv 1611.10176, the authors' code; there the bound is 0 only, here also 1, so that k bits suffice.

    Args:
        num_embeddings: rows of the table.
        embedding_dim: length of a row.
        output_quantizer: of the rows, its bound included; another module (such as ReLU) is applied as it is.
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, *, output_quantizer: nn.Module | None = None) -> None:
        super().__init__(num_embeddings, embedding_dim)
        self.output_quantizer = output_quantizer

    def reset_parameters(self) -> None:
        """Draw the table from [0, 1)."""
        nn.init.uniform_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        """Return the quantized rows (..., embedding_dim), float32, of tokens (...), int64."""
        rows = F.embedding(input, self.weight)
        return rows if self.output_quantizer is None else self.output_quantizer(rows)
