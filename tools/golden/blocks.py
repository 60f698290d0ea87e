"""Writes blocks of every GGML format that is read here, random bytes with sane scales, and what the `gguf` package makes of them.

Run by a maintainer, never needed to install or test (package gguf):
    python tools/golden/blocks.py crates/kernels/tests/golden-blocks
"""

import pathlib
import sys

import gguf
import numpy

# Where the half-precision numbers of a block lie.
HALVES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    rng = numpy.random.default_rng(4)
    for name, halves in HALVES.items():
        kind = gguf.GGMLQuantizationType[name]
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = rng.integers(0, 256, (max(4, 512 // elements * 2), size), dtype=numpy.uint8)
        for at in halves:
            numbers = rng.normal(0, 0.02, len(blocks)).astype(numpy.float16)
            blocks[:, at:at + 2] = numbers.view(numpy.uint8).reshape(-1, 2)
        values = gguf.quants.dequantize(blocks, kind).astype(numpy.float32)
        (folder / f"{name.lower()}.blocks").write_bytes(blocks.tobytes())
        (folder / f"{name.lower()}.f32").write_bytes(values.tobytes())


if __name__ == "__main__":
    main()
