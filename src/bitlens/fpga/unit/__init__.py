# SPDX-License-Identifier: Apache-2.0
"""The second shape: one execution unit runs a program layer by layer, memory to memory, for nets too large to stream."""
