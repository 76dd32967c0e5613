"""Orders in which a trial sees its rows: a permutation an epoch, from the trial's own seed."""

from __future__ import annotations

import numpy as np


def steps_per_epoch(n_rows: int, batch_size: int) -> int:
    """Return how many whole batches an epoch has; the rest of the rows waits for another epoch."""
    return max(n_rows // batch_size, 1)


def effective_batch_size(n_rows: int, batch_size: int) -> int:
    """Return the batch size, or the number of rows where there are fewer."""
    return min(batch_size, n_rows)


def epoch_order(generator: np.random.Generator, n_rows: int, n_used: int) -> np.ndarray:
    """Draw the rows of one epoch.

    Args:
        generator: the trial's own; every call is the next epoch.
        n_rows: rows to choose from.
        n_used: steps · batch size, at most `n_rows`.
    Returns: row numbers `[n_used]`, int64, no row twice.
    """
    return generator.permutation(n_rows)[:n_used]
