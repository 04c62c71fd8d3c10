# SPDX-License-Identifier: Apache-2.0
"""What the command line measures and shows: accuracy, differences, speed beside peers, tables."""
