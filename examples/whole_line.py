# SPDX-License-Identifier: Apache-2.0
"""The whole line on scikit-learn's digits: train 1-bit weights, export, compile, run, compare every integer, time."""

import sys
import warnings
from pathlib import Path

import bitlens
from bitlens import train
from bitlens.core.files import write_atomically
from bitlens.results.bench import bench_program, render
from bitlens.results.compare import compare_net, compare_runs
from bitlens.results.forms import open_form
from bitlens.results.line import accuracy, export_run, frozen_run, net_accuracy, test_images


def main(folder: Path, epochs: int | None = None) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    model, compiled, run = folder / "digits.onnx", folder / "digits.bitlens", folder / "run_w1a2g32"
    print("1. train: 1,797 digits, 8x8; once in float, once with 1-bit weights and 2-bit activations")
    images, labels = test_images("digits")
    plain = train.run("digits", out=folder / "run_w32a32g32", bits="w32a32g32", epochs=epochs, resume=True)
    train.run("digits", out=run, bits="w1a2g32", epochs=epochs, resume=True)
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
    print(f"{backends['differing']} of {backends['codes']:,} integers differ between golden and engine")
    print(f"{layers['differing']} of {layers['codes']:,} between torch and golden, {layers['ties']} of them ties")
    print(f"accuracy on {len(labels)} test images: float32 {plain['test_accuracy']:.4f}", end=", ")
    print(f"quantized, torch {net_accuracy(net, images, labels):.4f}", end=", ")
    print(f"integers, engine {accuracy(engine, images, labels):.4f}")
    small, large = compiled.stat().st_size, 4 * sum(p.numel() for p in net.parameters())
    print(f"file: {small:,} bytes, float32 parameters {large:,} bytes, {large / small:.1f}x smaller")
    print(f"5. time: batch {len(images)}, one thread, beside ONNX Runtime")
    peers = {"peers": ["onnxruntime"], "onnx": str(model)}
    print(render(bench_program(str(compiled), threads=1, batch=len(images), seconds=2.0, **peers)))
    return 0 if backends["differing"] == 0 and layers["differing"] == layers["ties"] else 1


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # of ONNX Runtime's quantizer and torch's exporter
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "whole_line")))
