#!/usr/bin/env python3
"""Times rahf beside what a Python user would run, in one go, and prints the ratios.

    make PRESET=release build
    python3 -m venv compare && compare/bin/pip install pillow torch==2.13.0 transformers
    compare/bin/python bench/compare.py [--threads 2] [--program build/release/bench/rahf_bench]

Both sides use the same number of threads, warm up once, and take turns; medians of the rounds.
"""

import argparse
import io
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time


def references(folder, threads):
    """Name of a benchmark -> a call that does the same work once, and its pictures."""
    import torch
    from PIL import Image
    from transformers import ViTConfig, ViTModel

    torch.set_num_threads(threads)

    def decode(name):
        data = (folder / name).read_bytes()
        return lambda: Image.open(io.BytesIO(data)).convert("RGB")

    picture = decode("bench.png")()
    vit = ViTModel(ViTConfig(), add_pooling_layer=False).eval()
    pixels = torch.zeros(8, 3, 224, 224)

    def forward(bf16):
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            vit(pixels)

    return {
        "decode/png": (decode("bench.png"), 1),
        "decode/jpeg": (decode("bench.jpg"), 1),
        "resize/bilinear": (lambda: picture.resize((224, 224), Image.BILINEAR), 1),
        "resize/bicubic": (lambda: picture.resize((224, 224), Image.BICUBIC), 1),
        "vit_base/f32/8/real_time": (lambda: forward(False), 8),
        "vit_base/bf16/8/real_time": (lambda: forward(True), 8),
    }


def ours(program, folder, name, threads):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    output = subprocess.run(
        [program, "--benchmark_format=json", "--benchmark_min_time=0.5", f"--benchmark_filter=^{name}$"],
        cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout
    return json.loads(output)["benchmarks"][0]["images/s"]


def theirs(call, pictures):
    call()
    count, start = 0, time.perf_counter()
    while time.perf_counter() < start + 0.5:
        call()
        count += 1
    return count * pictures / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default="build/release/bench/rahf_bench")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    program = str(pathlib.Path(arguments.program).resolve())

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in ("decode/png", "decode/jpeg"):  # leave the pictures that are decoded
            ours(program, folder, name, arguments.threads)
        print(f"{'benchmark':28}{'rahf images/s':>16}{'reference':>12}{'ratio':>8}")
        for name, (call, pictures) in references(folder, arguments.threads).items():
            rounds = [(ours(program, folder, name, arguments.threads), theirs(call, pictures))
                      for _ in range(arguments.rounds)]
            mine, other = (statistics.median(side) for side in zip(*rounds))
            print(f"{name:28}{mine:16.1f}{other:12.1f}{mine / other:8.2f}")


if __name__ == "__main__":
    main()
