# SPDX-License-Identifier: Apache-2.0
"""Training without float: integers in forward, backward and update; see `step`."""

from bitlens.train.float_free.ledger import Ledger
from bitlens.train.float_free.options import Options
from bitlens.train.float_free.step import FloatFree

__all__ = ["FloatFree", "Ledger", "Options"]
