"""Weights that compress as real ones do: normal noise in bfloat16, eight shards, and a few small files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np

SHARDS = 8
CHANGED_SHARD = 3
SPREAD = 0.02  # as trained weights are: most of them are small
PIECE_NUMBERS = 8 << 20


def make(folder: Path, size_bytes: int) -> None:
    """Write a model of this size, and beside it the shard that the scenario `shard` exchanges."""
    model = folder / "model"
    model.mkdir(parents=True)
    numbers = size_bytes // SHARDS // 2
    for index in range(SHARDS):
        _write_shard(model / shard_name(index), numbers, seed=index)
    _write_shard(folder / "changed.safetensors", numbers, seed=SHARDS)
    for name, content in _small_files().items():
        (model / name).write_bytes(content)


def shard_name(index: int) -> str:
    """Return the name of a shard, as model hubs write it."""
    return f"model-{index + 1:05d}-of-{SHARDS:05d}.safetensors"


def place(made: Path, project: Path, *, fresh: bool = False) -> None:
    """Put the model into a project by hard links, which cost no disk; fresh files are dated now."""
    target = project / "model"
    target.mkdir()
    for path in sorted((made / "model").iterdir()):
        os.link(path, target / path.name)
        if fresh:
            os.utime(path)


def change_one_shard(made: Path, project: Path) -> None:
    """Exchange one shard of eight for another of the same size."""
    shard = project / "model" / shard_name(CHANGED_SHARD)
    shard.unlink()
    os.link(made / "changed.safetensors", shard)


def warm(made: Path) -> None:
    """Read everything once: weights that have just been made or fetched are in the page cache."""
    for path in made.rglob("*.safetensors"):
        with path.open("rb") as source, Path(os.devnull).open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)


def _write_shard(path: Path, numbers: int, *, seed: int) -> None:
    """Write a safetensors file of one tensor."""
    header = json.dumps({"weight": {"dtype": "BF16", "shape": [numbers], "data_offsets": [0, 2 * numbers]}})
    padded = header.encode().ljust(-(-len(header) // 8) * 8)
    random = np.random.default_rng(seed)
    with path.open("wb") as sink:
        sink.write(len(padded).to_bytes(8, "little") + padded)
        for begin in range(0, numbers, PIECE_NUMBERS):
            count = min(PIECE_NUMBERS, numbers - begin)
            noise = random.standard_normal(count, dtype=np.float32) * np.float32(SPREAD)
            # bfloat16 is the upper half of a float32
            sink.write((noise.view(np.uint32) >> np.uint32(16)).astype(np.uint16).tobytes())


def _small_files() -> dict[str, bytes]:
    words = {f"token{number}": number for number in range(32_000)}
    return {
        "config.json": json.dumps({"hidden_size": 4096, "num_hidden_layers": 32}).encode(),
        "generation_config.json": json.dumps({"temperature": 0.6}).encode(),
        "tokenizer.json": json.dumps({"model": {"vocab": words}}).encode(),
    }
