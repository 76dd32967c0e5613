"""Values that depend on the data: the rules behind "auto".

A space may contain "auto" where `AUTO_VALUES` has a rule. `SearchSpace.resolve` replaces it when
the study starts. To add a rule, write the function and add a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MIN_STEPS_PER_EPOCH, MIN_BATCH = 4, 2
# (largest number of training rows, batch size): the table of RealMLP, arXiv:2407.04491.
BATCH_SIZES = ((1_024, 64), (8_000, 128), (30_000, 256), (100_000, 512))
LARGEST_BATCH = 1_024
# Training rows times epochs, and the limits of the epochs.
ROWS_PER_TRAINING = 300_000
MIN_EPOCHS, MAX_EPOCHS = 40, 200


@dataclass(frozen=True)
class DataShape:
    """The properties of the data that rules and conditions depend on.

    Args:
        n_train: number of training rows.
        n_inputs: number of inputs with the default preprocessing: one per number and one per
            category; an indicator of missing numbers only where the column has no other
            information.
        task: "binary", "multiclass" or "regression".
        pictures: whether all columns are pixels.
        n_numbers: number of inputs that are scaled numbers: one per numeric column and one per part
            of a date.
    """

    n_train: int
    n_inputs: int
    task: str
    pictures: bool = False
    n_numbers: int = 0


def batch_size(shape: DataShape) -> int:
    """Return a power of two that grows with the rows, with at least 4 steps per epoch.

    Below 8 rows it is 2, because batch norm turns a batch of one row into zeros.
    """
    wanted = next((size for n, size in BATCH_SIZES if shape.n_train <= n), LARGEST_BATCH)
    most = max(shape.n_train // MIN_STEPS_PER_EPOCH, MIN_BATCH)
    return min(wanted, 1 << (most.bit_length() - 1))


def epochs(shape: DataShape) -> int:
    """Return the number of epochs in which training reads 300,000 rows: at least 40, at most 200.

    Schedules such as one_cycle and cosine are spread over all epochs. `early_stopping.patience` may
    end the training earlier, unless `early_stopping.wait_for_schedule` is true. Networks with
    embedded numbers needed 60 epochs with a higher learning rate for the score that took 200 epochs
    with a lower one (docs/lab-notebook.md).
    """
    return min(max(round(ROWS_PER_TRAINING / shape.n_train), MIN_EPOCHS), MAX_EPOCHS)


AUTO_VALUES: dict[str, Callable[[DataShape], int]] = {
    "training.batch_size": batch_size,
    "training.epochs": epochs,
}
