"""Values that follow the data: what "auto" stands for.

A space may say "auto" where `AUTO_VALUES` has a rule; `SearchSpace.resolve` replaces it when the
study is made. To add one: write the rule and add a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MIN_STEPS_PER_EPOCH, MIN_BATCH = 4, 2
# (up to so many training rows, batch size): RealMLP's table, arXiv:2407.04491.
BATCH_SIZES = ((1_024, 64), (8_000, 128), (30_000, 256), (100_000, 512))
LARGEST_BATCH = 1_024
# Rows seen in a whole training, and what epochs are held between.
ROWS_PER_TRAINING = 300_000
MIN_EPOCHS, MAX_EPOCHS = 40, 200


@dataclass(frozen=True)
class DataShape:
    """What a rule or a condition may look at.

    Args:
        n_train: training rows.
        n_inputs: inputs of a network that chooses nothing about them: one a number, one a category,
            none that tells of missing numbers but where only gaps tell something.
        task: "binary", "multiclass" or "regression".
        pictures: whether all columns are pixels.
        n_numbers: those of them that are scaled numbers: one a numeric column, one each part of a
            date.
    """

    n_train: int
    n_inputs: int
    task: str
    pictures: bool = False
    n_numbers: int = 0


def batch_size(shape: DataShape) -> int:
    """Return a power of two that grows with the rows and leaves 4 steps an epoch at least.

    Below 8 rows it is 2, whatever the steps: of one row batch norm makes 0.
    """
    wanted = next((size for n, size in BATCH_SIZES if shape.n_train <= n), LARGEST_BATCH)
    most = max(shape.n_train // MIN_STEPS_PER_EPOCH, MIN_BATCH)
    return min(wanted, 1 << (most.bit_length() - 1))


def epochs(shape: DataShape) -> int:
    """Return as many epochs as see 300,000 rows, but 40 at least and 200 at most.

    Schedules such as one_cycle and cosine are spread over all of them; `early_stopping.patience`
    may end a training before, unless `early_stopping.wait_for_schedule`. Networks with embedded
    numbers reached with a higher learning rate in 60 epochs what they reached with a lower one in
    200 (docs/benchmarks.md).
    """
    return min(max(round(ROWS_PER_TRAINING / shape.n_train), MIN_EPOCHS), MAX_EPOCHS)


AUTO_VALUES: dict[str, Callable[[DataShape], int]] = {
    "training.batch_size": batch_size,
    "training.epochs": epochs,
}
