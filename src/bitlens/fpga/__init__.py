# SPDX-License-Identifier: Apache-2.0
"""Streaming accelerators in FPGA logic, from an integer program: elements, folding, memories, simulation. Needs numpy alone."""
