# SPDX-License-Identifier: Apache-2.0
"""Run a `.bitlens` program on the C++ engine. Needs numpy alone."""

from bitlens.runtime.session import Layer, Session, SessionError, Stream, Tensor

__all__ = ["Layer", "Session", "SessionError", "Stream", "Tensor"]
