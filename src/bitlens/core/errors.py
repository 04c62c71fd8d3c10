# SPDX-License-Identifier: Apache-2.0
"""Which errors are a user's mistake that a stage has found; the others are ours."""

from __future__ import annotations

__all__ = ["is_refusal"]


def is_refusal(error: ValueError) -> bool:
    """Whether an error says in a sentence what a user did wrong: its class is one of bitlens', not ValueError itself."""
    return type(error).__module__.partition(".")[0] == "bitlens"
