"""Compare the free space of a study's disk with what its search will write, before it starts.

The sizes are estimates from a few configurations of the space. A search that cannot save a single
trial is refused; one that may need more than there is gets a note, and pauses when the disk is full
(`bundle/full_disk.py`). Snapshots of running trials are not counted, because none is written
without space.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autotrain.bundle.full_disk import free_bytes
from autotrain.data.dataset import Dataset
from autotrain.errors import StorageError
from autotrain.network.config import shape_of
from autotrain.network.layout import Layout
from autotrain.search.checkpoints import FOLDER, MOST
from autotrain.space.config import TrialConfig
from autotrain.space.forbidding import ForbiddenCombination
from autotrain.space.search_space import SearchSpace
from autotrain.vocabulary import shown_path, size_text

N_DRAWN = 8
"""Number of configurations that are drawn for each of the two sizes."""
TRIAL_BYTES = 12_000
"""Size of a trial in the journal: the median of the default space."""
N_TRIALS = 1_000
"""Number of trials that a search without a limit is estimated with."""
FIXED_BYTES = 100_000
"""Size of the other files of a study."""


@dataclass(frozen=True)
class Need:
    """The bytes that a search writes.

    Args:
        least: for one trial of a small network.
        most: for all trials, if the networks are large.
    """

    least: int
    most: int


def need_of(space: SearchSpace, dataset: Dataset, n_trials: int | None, n_members: int) -> Need:
    """Estimate the bytes that a search writes.

    Args:
        space: the resolved space.
        dataset: the study's dataset.
        n_trials: number of trials; None without a limit.
        n_members: largest number of trainings in the exported model.
    """
    small = [_weight_bytes(each, dataset) for each in _drawn(space, min)]
    large = [_weight_bytes(each, dataset) for each in _drawn(space, max)]
    if not small or not large:
        return Need(FIXED_BYTES, FIXED_BYTES)
    n_trials = N_TRIALS if n_trials is None else n_trials
    # A training is in a checkpoint and in the model. A new model is written next to the old one.
    n_trainings = min(n_trials, MOST) + 2 * max(n_members, 1)
    return Need(
        FIXED_BYTES + TRIAL_BYTES + 2 * min(small),
        FIXED_BYTES + TRIAL_BYTES * n_trials + n_trainings * max(large),
    )


def check_free_space(folder: Path, need: Need) -> str | None:
    """Compare what a search writes with the free space of the disk of its folder.

    Returns: a note when the space may not be enough; None when it is, or is not known.
    Raises:
        StorageError: when not even one trial can be saved.
    """
    free = free_bytes(folder)
    if free is None:
        return None
    where = shown_path(folder)
    if free < need.least:
        raise StorageError(
            f"the disk of {where} must have at least {size_text(need.least)} free, got "
            f"{size_text(free)}. Free space there, or choose another folder."
        )
    kept = sum(file.stat().st_size for file in (folder / FOLDER).glob("*.safetensors"))
    if free < need.most - kept:
        return (
            f"the disk of {where} has {size_text(free)} free, and the search may write up to "
            f"{size_text(need.most - kept)}. It pauses when the disk is full."
        )
    return None


class _Extreme:
    """A trial that answers with the smallest or the largest number, and else at random."""

    def __init__(self, pick: Callable[[Sequence[Any]], Any], rng: random.Random) -> None:
        self.pick = pick
        self.rng = rng

    def suggest_int(self, name: str, low: int, high: int, **_: Any) -> int:
        return int(self.pick((low, high)))

    def suggest_float(self, name: str, low: float, high: float, **_: Any) -> float:
        return float(self.pick((low, high)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        are_numbers = all(type(choice) in (int, float) for choice in choices)
        return self.pick(choices) if are_numbers else self.rng.choice(choices)


def _drawn(space: SearchSpace, pick: Callable[[Sequence[Any]], Any]) -> list[TrialConfig]:
    """Return configurations with small or with large networks; none if all are forbidden."""
    rng, found = random.Random(0), []
    for _ in range(N_DRAWN):
        try:
            found.append(space.suggest(_Extreme(pick, rng)))
        except ForbiddenCombination:
            continue
    return found


def _weight_bytes(config: TrialConfig, dataset: Dataset) -> int:
    """Return the size of the weights of all folds."""
    # Those of the default view: the others are not encoded yet, and this takes time.
    columns = dataset.preprocessor().input_columns
    layout = Layout(shape_of(config, columns, dataset.n_outputs))
    return 4 * len(dataset.folds) * (layout.n_parameters + layout.n_statistics)
