# SPDX-License-Identifier: Apache-2.0
"""The door: QONNX files in (`read`) and out (`export`)."""
