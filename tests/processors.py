# SPDX-License-Identifier: Apache-2.0
"""Which instruction sets this machine can run."""

from __future__ import annotations

from bitlens.runtime import Session, SessionError
from programs import chain_program

__all__ = ["ISAS"]


def _runs(isa: str) -> bool:
    try:
        Session(chain_program(0), isa=isa)
    except SessionError as error:
        if not str(error).startswith("isa: "):
            raise
        return False
    return True


ISAS = [isa for isa in ("portable", "avx2", "avx512", "neon") if _runs(isa)]
