"""Sizes of the blocks in which a predictor works, so that memory is bounded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BlockSizes:
    """Largest numbers of values at a time; no result depends on them.

    Args:
        encoded: encoded values of a table: 32 MB in float32.
        samples: values over samples or members: 16 MB in float64.
        layer: values of one layer: 2 MB in float32, the size of a second-level cache.
        rows: rows of a pass with dropout.
        kept: samples that are kept by default: 64 MB in float64.
    """

    encoded: int = 1 << 23
    samples: int = 1 << 21
    layer: int = 1 << 19
    rows: int = 2048
    kept: int = 1 << 23


BLOCK_SIZES = BlockSizes()
