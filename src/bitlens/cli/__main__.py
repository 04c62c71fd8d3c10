# SPDX-License-Identifier: Apache-2.0
"""`python -m bitlens.cli`, where the `bitlens` command is not installed."""

import sys

from bitlens.cli import main

sys.exit(main())
