"""Order of the rows in each epoch: a new permutation per epoch, from the trial's own seed."""

from __future__ import annotations

import numpy as np


def steps_per_epoch(n_rows: int, batch_size: int) -> int:
    """Return the number of full batches in an epoch; the remaining rows are skipped."""
    return max(n_rows // batch_size, 1)


def effective_batch_size(n_rows: int, batch_size: int) -> int:
    """Return the batch size, or the number of rows if it is smaller."""
    return min(batch_size, n_rows)


def epoch_order(generator: np.random.Generator, n_rows: int, n_used: int) -> np.ndarray:
    """Draw the rows of one epoch.

    Args:
        generator: the trial's own generator; every call draws the next epoch.
        n_rows: number of rows to choose from.
        n_used: steps · batch size, at most `n_rows`.
    Returns: row numbers `[n_used]`, int64, each at most once.
    """
    return generator.permutation(n_rows)[:n_used]
