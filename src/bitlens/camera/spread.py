# SPDX-License-Identifier: Apache-2.0
"""Scans spread over a Ray cluster, a task a source. Needs `bitlens[ray]`, and folders that every machine sees."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import ray
import ray.exceptions
from tqdm import tqdm

from bitlens.camera.archive import Job, scan_job
from bitlens.camera.nets import LineMaker, shipped_line
from bitlens.camera.scan import Report
from bitlens.camera.source import CameraError

__all__ = ["scan_on_ray"]

_PATIENCE_SECONDS = 5.0


def scan_on_ray(jobs: Sequence[Job], address: str, make_line: LineMaker = shipped_line) -> Iterator[Report | str]:
    """Scan sources on a cluster.

    Args:
        jobs: what to scan; paths are those of the machines of the cluster.
        address: "local" for one on this machine, "auto" for a running one, or host:port.
        make_line: makes the line of faces of each.

    Returns:
        A report or a sentence for each job, in order.

    Raises:
        CameraError: it is no address, nothing answers there, or "auto" finds no running cluster.
        OSError: a result cannot be written.
    """
    begun = not ray.is_initialized()
    if begun:
        _check(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
        except (ConnectionError, ValueError) as error:
            raise CameraError(
                f"--ray: {address} must be where a Ray cluster runs; `ray start --head` begins one"
            ) from error
    try:
        task = ray.remote(scan_job)
        tasks = [
            task.options(num_cpus=options.threads).remote((path.resolve(), folder.resolve(), options), make_line, False)
            for path, folder, options in jobs
        ]
        bar = tqdm(tasks, desc="scan", unit=" sources", disable=not sys.stderr.isatty())
        for (path, _, _), waiting in zip(jobs, bar, strict=True):
            yield _result(path, waiting)
    finally:
        if begun:
            ray.shutdown()


def _result(path: Path, waiting: Any) -> Report | str:
    """What a task gives; a sentence where the machine or the process that did it has ended."""
    try:
        found: Report | str = ray.get(waiting)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error  # what the scan itself has raised
    except ray.exceptions.RayError as error:
        return f"{path}: the cluster's process must live to the end, not die ({type(error).__name__})"
    return found


def _check(address: str) -> None:
    """Refuse a host:port where nothing answers, for which Ray would wait for minutes."""
    if address in ("local", "auto") or address.startswith("ray://"):
        return
    host, colon, port = address.rpartition(":")
    if not colon:
        raise CameraError(f"--ray: must be local, auto or host:port, not {address}")
    try:
        socket.create_connection((host, int(port)), _PATIENCE_SECONDS).close()
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CameraError(f"--ray: {address} must be where a Ray cluster answers ({told})") from None
