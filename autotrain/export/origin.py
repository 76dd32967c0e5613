"""`Origin`: which trial of a study a checkpoint or a bundle comes from.

The number of a trial is no evidence, because a folder may have been copied, renamed or used by
another study. The configuration and the seed are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from autotrain.bundle import ENSEMBLE, Bundle, read_bundle
from autotrain.errors import BundleError, SpaceError
from autotrain.search.attributes import GIVEN
from autotrain.search.checkpoints import Checkpoints
from autotrain.search.facts import trial_seed
from autotrain.search.given import config_of
from autotrain.search.record import own_trials
from autotrain.search.sampling.samplers import seed_number
from autotrain.search.trained import Trained
from autotrain.space.config import TrialConfig
from autotrain.space.search_space import SearchSpace


@dataclass(frozen=True)
class Origin:
    """The trials of a study, and the models that come from them.

    Args:
        study, space, checkpoints: those of the study.
        seed: the study's seed.
        fingerprint: fingerprint of the study's data.
    """

    study: optuna.Study
    space: SearchSpace
    checkpoints: Checkpoints
    seed: int
    fingerprint: str

    @property
    def trials(self) -> list[FrozenTrial]:
        """The study's own trials; see `record.own_trials`."""
        return own_trials(self.study.get_trials(deepcopy=False), self.study.user_attrs)

    @property
    def complete(self) -> list[FrozenTrial]:
        """The complete trials among them."""
        return [trial for trial in self.trials if trial.state == TrialState.COMPLETE]

    @property
    def has_searched(self) -> bool:
        """Whether a complete trial came from a search, and not from `Study.train`."""
        return any(trial.user_attrs.get(GIVEN) != "train" for trial in self.complete)

    def config(self, trial: FrozenTrial) -> TrialConfig:
        """Return a trial's configuration."""
        return config_of(trial, self.space)

    def trial_seed(self, trial: FrozenTrial) -> int:
        """Return the seed with which a trial was trained."""
        return trial_seed(self.seed, seed_number(self.study, trial))

    def is_of(self, trial: FrozenTrial, trained: Trained) -> bool:
        """Whether a checkpoint comes from this trial."""
        return (trained.config, trained.seed) == (self.config(trial), self.trial_seed(trial))

    def checkpoint(self, trial: FrozenTrial, repeat: int) -> Trained | None:
        """Return the checkpoint of one training of a trial; None when it does not exist."""
        kept = self.checkpoints.find(trial.number, repeat)
        return kept if kept is not None and self.is_of(trial, kept) else None

    def complete_checkpoint(self, number: int, repeat: int) -> Trained | None:
        """Return the same by the trial's number; None also if the trial is not complete."""
        trials = self.study.get_trials(deepcopy=False)
        if number >= len(trials) or trials[number].state != TrialState.COMPLETE:
            return None
        return self.checkpoint(trials[number], repeat)

    def all_checkpoints(self) -> list[Trained]:
        """Return the checkpoints of all complete trials.

        A trial with a checkpoint can be incomplete: it was interrupted before it was recorded as
        complete, and is retried with another number.
        """
        trials = {trial.number: trial for trial in self.complete}
        return [
            trained
            for trained in self.checkpoints.all()
            if trained.number in trials and self.is_of(trials[trained.number], trained)
        ]

    def bundle_in(self, folder: Path) -> Bundle | None:
        """Return the bundle in a folder if its first member was trained by this study."""
        try:
            bundle = read_bundle(folder)
        except BundleError:
            return None
        if bundle.data.get("fingerprint") != self.fingerprint:
            return None
        trials = self.study.get_trials(deepcopy=False)
        number = bundle.training.get("trial")
        if not isinstance(number, int) or not 0 <= number < len(trials):
            return None
        trial = trials[number]
        try:
            is_config = bundle.members[0].config == self.config(trial)
        except SpaceError:
            return None
        is_seed = bundle.training.get("seed") == self.trial_seed(trial)
        return bundle if is_config and is_seed else None

    def is_in(self, folder: Path, number: int, repeat: int, *, alone: bool) -> bool:
        """Whether a folder contains this model or, unless `alone`, an ensemble of the study."""
        bundle = self.bundle_in(folder)
        if bundle is None or ENSEMBLE in bundle.training:
            return bundle is not None and not alone
        found = (bundle.training["trial"], bundle.training.get("repeat", 0))
        return found == (number, repeat)
