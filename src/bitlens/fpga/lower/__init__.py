# SPDX-License-Identifier: Apache-2.0
"""From an integer program to a streaming circuit: every op becomes elements of `rtl/`.

A file of rules for each kind of op; `program.py` has the table of them and `circuit.py` what they work on.
"""

from bitlens.fpga.lower.program import lower_program

__all__ = ["lower_program"]
