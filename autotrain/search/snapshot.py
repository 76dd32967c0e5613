"""`Snapshot`: the state of a search between two epochs, in a file from which `resume` continues.

`saving.py` takes snapshots while a search runs, `continuing.py` restores them. The file is in the
study's folder: arrays in the safetensors format, everything else as JSON in its metadata. It is
replaced atomically, and removed when the run ends in order.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from autotrain.bundle.own_files import check_own, remove_own, replace_own
from autotrain.errors import AutotrainError
from autotrain.network.flags import Diagnosis
from autotrain.space.config import TrialConfig
from autotrain.training.slot import EpochReport, Outcome, SlotState

FILE = "running.safetensors"
"""Name of the file, in the folder of the checkpoints."""
FORMAT = 1
_BROKEN = (
    OSError,
    SafetensorError,
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    AutotrainError,
)


@dataclass(frozen=True)
class SavedRun:
    """A training in progress.

    Args:
        number, repeat, seed, config: see `TrainingRun`.
        slots: numbers of its slots, one per fold.
        facts: the other fields of the `TrainingRun`, as JSON.
        reports: latest report of each slot.
        outcomes: outcomes of the folds that have ended.
        states: states of the other slots; a slot without a state has not started.
    """

    number: int
    repeat: int
    seed: int
    config: TrialConfig
    slots: tuple[int, ...]
    facts: Mapping[str, Any]
    reports: Mapping[int, EpochReport] = field(default_factory=dict)
    outcomes: Mapping[int, Outcome] = field(default_factory=dict)
    states: Mapping[int, SlotState] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """The last epoch that all folds have ended."""
        return int(self.facts["epoch"])


@dataclass(frozen=True)
class Snapshot:
    """The state of a search.

    Args:
        study: identity of the Optuna study.
        is_exact: whether a search that continues from here computes the same as without an
            interruption: one worker in the process of the search, no time limit.
        n_trials: number of trials in the storage.
        open: numbers of those that had not ended.
        ready: number of the trial that was sampled and not started; None without one.
        counts: counters of the search loop and the recorder.
        repeats: the repeats that had ended, as of `Finals.to_json`.
        runs: the trainings in progress.
    """

    study: str
    is_exact: bool
    n_trials: int
    open: tuple[int, ...]
    ready: int | None
    counts: Mapping[str, int]
    repeats: tuple[Mapping[str, Any], ...] = ()
    runs: tuple[SavedRun, ...] = ()

    def had_ended(self, number: int) -> bool:
        """Whether a trial had ended."""
        return number < self.n_trials and number not in self.open

    def write(self, path: Path) -> None:
        """Write the snapshot atomically.

        Raises: OSError when the system refuses.
        """
        arrays: dict[str, np.ndarray] = {}
        record = asdict(replace(self, runs=())) | {
            "format": FORMAT,
            "runs": [_encode(run, f"{place}", arrays) for place, run in enumerate(self.runs)],
        }
        content = save(arrays, metadata={"snapshot": json.dumps(record)})
        path.parent.mkdir(parents=True, exist_ok=True)
        check_own(path.parent)
        replace_own(path, content)

    @classmethod
    def read(cls, path: Path, study: str) -> Snapshot | None:
        """Return the snapshot in a file; None if it is missing, broken, or of another study."""
        with contextlib.suppress(*_BROKEN):
            check_own(path)
            with safe_open(path, framework="numpy") as file:
                record = json.loads(file.metadata()["snapshot"])
                if record.pop("format") != FORMAT or record["study"] != study:
                    return None
                runs = tuple(_decode(entry, file) for entry in record.pop("runs"))
                record |= {name: tuple(record[name]) for name in ("open", "repeats")}
                return cls(runs=runs, **record)
        return None


def remove(path: Path) -> None:
    """Remove a snapshot, if there is one."""
    with contextlib.suppress(OSError):
        remove_own(path)


def _encode(run: SavedRun, prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return a run as JSON, and add its arrays to `arrays`."""
    outcomes, states = {}, {}
    for slot, outcome in run.outcomes.items():
        for name in ("parameters", "statistics"):
            array = getattr(outcome, name)
            if array is not None:
                arrays[f"{prefix}.{slot}.{name}"] = np.ascontiguousarray(array)
        left = {"parameters": None, "statistics": None, "diagnosis": outcome.diagnosis.to_json()}
        outcomes[slot] = vars(outcome) | left
    for slot, state in run.states.items():
        states[slot] = state.numbers
        for name, array in state.arrays.items():
            arrays[f"{prefix}.{slot}.state.{name}"] = np.ascontiguousarray(array)
    return {
        "prefix": prefix,
        "number": run.number,
        "repeat": run.repeat,
        "seed": run.seed,
        "config": run.config.to_json(),
        "slots": run.slots,
        "facts": dict(run.facts),
        "reports": {slot: vars(report) for slot, report in run.reports.items()},
        "outcomes": outcomes,
        "states": states,
    }


def _decode(entry: Mapping[str, Any], file: Any) -> SavedRun:
    prefix, names = entry["prefix"], set(file.keys())

    def array(key: str) -> np.ndarray | None:
        return file.get_tensor(key) if key in names else None

    outcomes, states = {}, {}
    for slot, fields in entry["outcomes"].items():
        arrays = {name: array(f"{prefix}.{slot}.{name}") for name in ("parameters", "statistics")}
        diagnosis = Diagnosis.from_json(fields["diagnosis"])
        outcomes[int(slot)] = Outcome(**(fields | arrays | {"diagnosis": diagnosis}))
    for slot, numbers in entry["states"].items():
        of_slot = f"{prefix}.{slot}.state."
        found = {key.removeprefix(of_slot): key for key in names if key.startswith(of_slot)}
        states[int(slot)] = SlotState(
            numbers, {name: file.get_tensor(key) for name, key in found.items()}
        )
    return SavedRun(
        number=entry["number"],
        repeat=entry["repeat"],
        seed=entry["seed"],
        config=TrialConfig.from_json(entry["config"]),
        slots=tuple(entry["slots"]),
        facts=entry["facts"],
        reports={int(slot): EpochReport(**fields) for slot, fields in entry["reports"].items()},
        outcomes=outcomes,
        states=states,
    )
