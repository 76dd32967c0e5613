"""`checkpoints/`: the weights of a study's best few trainings, one file each.

From here come the members of an ensemble, and a winner that the finals choose after its weights
have left memory. Files are written whole or not at all; what cannot be read is as if it were not
there, since any training can be had again from its record.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from autotrain.bundle.own_files import check_own, make_own_folder, replace_own
from autotrain.errors import AutotrainError, StorageError
from autotrain.network.flags import Diagnosis
from autotrain.search.trained import Trained
from autotrain.space.config import TrialConfig
from autotrain.training.slot import Outcome

FOLDER = "checkpoints"
MOST = 24
_BROKEN = (OSError, SafetensorError, KeyError, TypeError, ValueError, AutotrainError)


class Checkpoints:
    """The folder of a study's checkpoints.

    Args:
        folder: made when the first one is kept.
        sign: 1 where lower values are better, −1 where higher ones are.
        most: largest number of trainings that are kept, the best ones.
    """

    def __init__(self, folder: Path, sign: float = 1.0, most: int = MOST) -> None:
        self.folder = folder
        self.sign = sign
        self.most = most
        self._scores: dict[Path, float] | None = None

    def keep(self, trained: Trained) -> None:
        """Write a training down, unless `most` better ones are kept.

        Raises: StorageError when the folder cannot be written.
        """
        path = self._path(trained.number, trained.repeat)
        scores = self._known()
        scores[path] = self.sign * trained.value
        kept = sorted(scores, key=lambda path: (scores[path], path.name))[: self.most]
        if path in kept:
            encoded = _encode(trained)
            try:
                make_own_folder(self.folder)
                check_own(self.folder)
                replace_own(path, encoded)
            except OSError as error:
                raise StorageError(
                    f"{self.folder} must be a folder that can be written, got: "
                    f"{error.strerror or error}. Free space there or change its permissions, then "
                    "run `autotrain resume`."
                ) from error
        for worse in scores.keys() - set(kept):
            worse.unlink(missing_ok=True)
            del scores[worse]

    def find(self, number: int, repeat: int) -> Trained | None:
        """Return a training, None when it is not kept."""
        with contextlib.suppress(*_BROKEN):
            return _read(self._path(number, repeat))
        return None

    def of_trial(self, number: int) -> Trained | None:
        """Return a trial's own training, or else its first repeat; None when none is kept."""
        paths = self.folder.glob(f"trial-{number}-*.safetensors")
        repeats = sorted(int(path.stem.rpartition("-")[2]) for path in paths)
        found = (self.find(number, repeat) for repeat in repeats)
        return next((trained for trained in found if trained is not None), None)

    def __len__(self) -> int:
        """Return how many trainings are kept."""
        return len(self._known())

    def all(self) -> list[Trained]:
        """Return all that are kept, the best first."""
        found = []
        for path in self._known():
            with contextlib.suppress(*_BROKEN):
                found.append(_read(path))
        return sorted(found, key=lambda t: (self.sign * t.value, t.number, t.repeat))

    def _path(self, number: int, repeat: int) -> Path:
        return self.folder / f"trial-{number}-{repeat}.safetensors"

    def _known(self) -> dict[Path, float]:
        """Return the scores of what is kept, read once; what cannot be read is removed."""
        if self._scores is None:
            self._scores = {}
            for path in sorted(self.folder.glob("trial-*-*.safetensors")):
                try:
                    check_own(path)
                    with safe_open(path, framework="numpy") as file:
                        record = json.loads(file.metadata()["trained"])
                    self._scores[path] = self.sign * float(record["value"])
                except _BROKEN:
                    path.unlink(missing_ok=True)
        return self._scores


def _encode(trained: Trained) -> bytes:
    tensors: dict[str, np.ndarray] = {}
    outcomes = []
    for place, outcome in enumerate(trained.outcomes):
        if outcome.parameters is None or outcome.statistics is None:
            raise ValueError(f"fold {place} ended without weights ({outcome.cause})")
        tensors[f"parameters.{place}"] = np.ascontiguousarray(outcome.parameters, np.float32)
        tensors[f"statistics.{place}"] = np.ascontiguousarray(outcome.statistics, np.float32)
        outcomes.append(
            {
                "cause": outcome.cause,
                "epochs": outcome.epochs,
                "best_epoch": outcome.best_epoch,
                "best_value": outcome.best_value,
                "diagnosis": outcome.diagnosis.to_json(),
            }
        )
    record = {
        "number": trained.number,
        "repeat": trained.repeat,
        "value": trained.value,
        "seed": trained.seed,
        "config": trained.config.to_json(),
        "outcomes": outcomes,
    }
    return save(tensors, metadata={"trained": json.dumps(record)})


def _read(path: Path) -> Trained:
    check_own(path)
    with safe_open(path, framework="numpy") as file:
        record = json.loads(file.metadata()["trained"])
        outcomes = tuple(
            Outcome(
                slot=place,
                parameters=file.get_tensor(f"parameters.{place}"),
                statistics=file.get_tensor(f"statistics.{place}"),
                **(entry | {"diagnosis": Diagnosis.from_json(entry["diagnosis"])}),
            )
            for place, entry in enumerate(record["outcomes"])
        )
    return Trained(
        number=record["number"],
        value=record["value"],
        config=TrialConfig.from_json(record["config"]),
        seed=record["seed"],
        outcomes=outcomes,
        repeat=record["repeat"],
    )
