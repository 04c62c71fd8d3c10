# SPDX-License-Identifier: Apache-2.0
"""The whole line on data that comes inside a dependency: train, export, compile, run, compare, time."""

from __future__ import annotations

import time
from pathlib import Path

__all__ = ["run_demo"]


def run_demo(folder: Path, epochs: int | None = None) -> int:
    """Train a w1a2 net on scikit-learn's digits and take it to integers, printing each step.

    Args:
        folder: gets the runs, digits.onnx and digits.bitlens; used again if it exists.
        epochs: length of the runs; the recipe's when None.

    Returns:
        0 where every code agrees, 1 where one differs.
    """
    import bitlens
    from bitlens import train
    from bitlens.core.files import write_atomically
    from bitlens.results.bench import bench_program
    from bitlens.results.compare import compare_net, compare_runs
    from bitlens.results.forms import open_form
    from bitlens.results.line import accuracy, export_run, frozen_run, net_accuracy, test_images

    started = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    model, compiled = folder / "digits.onnx", folder / "digits.bitlens"
    print("1. train: scikit-learn's 1,797 digits, 8x8; once in float, once with 1-bit weights and 2-bit activations")
    images, labels = test_images("digits")
    scores = {}
    for bits in ("w32a32g32", "w1a2g32"):
        result = train.run("digits", out=folder / f"run_{bits}", bits=bits, epochs=epochs, resume=True)
        scores[bits] = result["test_accuracy"]
    run = folder / "run_w1a2g32"
    print(f"2. export: {model}")
    write_atomically(model, export_run(run).SerializeToString())
    print(f"3. compile: {compiled}")
    program = bitlens.compile(str(model))
    program.save(compiled)
    print("4. run: every layer of all test images on the golden interpreter and on the engine")
    engine, golden = open_form(str(compiled)), open_form(str(compiled), backend="golden")
    backends = compare_runs(golden, engine, images)
    net = frozen_run(run)
    layers = compare_net(net, program, images)
    print(f"5. time: batch {len(images)}, one thread, beside ONNX Runtime")
    report = bench_program(
        str(compiled), peers=["onnxruntime"], onnx=str(model), threads=1, batch=len(images), seconds=2.0
    )
    small, large = compiled.stat().st_size, 4 * sum(p.numel() for p in net.parameters())
    print()
    print(f"accuracy on {len(labels)} test images")
    print(f"  float32 net                {scores['w32a32g32']:.4f}")
    print(f"  quantized net (torch)      {net_accuracy(net, images, labels):.4f}")
    print(f"  integer program (engine)   {accuracy(engine, images, labels):.4f}")
    print(f"golden against engine, {backends['codes']:,} integers of {len(backends['layers'])} tensors:")
    print(f"{backends['differing']} differing codes")
    print(f"torch against golden, layer by layer, {layers['codes']:,} integers:")
    print(f"  {layers['differing']} differing, {layers['ties']} of them ties")
    print(f"file: {small:,} bytes, float32 parameters {large:,} bytes, {large / small:.1f}x smaller")
    print("speed, one thread, by the median call:")
    for row in report["rows"]:
        ratio = "" if row["name"] == "bitlens" else f"   ({row['ratio']:.1f}x slower than bitlens)"
        print(f"  {row['name']:28} {row['images_per_second']:10,.0f} images/s{ratio}")
    print(f"done in {time.perf_counter() - started:.0f} s; look at the layers with: bitlens inspect {compiled}")
    return 0 if backends["differing"] == 0 and layers["differing"] == layers["ties"] else 1
