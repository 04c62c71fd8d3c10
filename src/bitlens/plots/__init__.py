# SPDX-License-Identifier: Apache-2.0
"""Pictures of nets, runs and results (matplotlib): arrays in, figures out."""
