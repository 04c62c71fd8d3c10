# SPDX-License-Identifier: Apache-2.0
"""Text of instances and ports; all logic is in `rtl/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["instance", "module_head"]


def module_head(name: str, ports: Sequence[str], parameters: Sequence[str] = ()) -> list[str]:
    """The first lines of a module, a parameter and a port a line."""
    begin = [f"module {name} #(", ",\n".join(f"    {parameter}" for parameter in parameters), ") ("]
    return [*(begin if parameters else [f"module {name} ("]), ",\n".join(f"    {port}" for port in ports), ");"]


def instance(module: str, name: str, parameters: Mapping[str, object], ports: Mapping[str, str]) -> list[str]:
    """An instance, a parameter and a port a line.

    Args:
        module: its module.
        name: its name, unique in the module around it.
        parameters: values by name, as they stand in Verilog.
        ports: wires by name of port; "" leaves one open.
    """
    values = [f"      .{key}({value})" for key, value in parameters.items()]
    wires = [f"      .{port}({wire})" for port, wire in ports.items()]
    begin = [f"  {module} #(", ",\n".join(values), f"  ) {name} ("] if values else [f"  {module} {name} ("]
    return [*begin, ",\n".join(wires), "  );"]
