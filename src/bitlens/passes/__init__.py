# SPDX-License-Identifier: Apache-2.0
"""The compiler: one rewrite a file, in the order that `pipeline.py` tells."""
