"""The samplers of Optuna, each seeded from the study's seed and the number of the trial.

Optuna does not store the state of a sampler, so a resumed study with the same seed would propose
the same points again. Here every trial has a new sampler with its own seed, which depends only on
the storage. A retried trial does not change the seeds of later trials. To add a sampler, add a row
to `SAMPLERS`.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import logging
from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from autotrain import errors
from autotrain.errors import StudyError
from autotrain.search.attributes import CONFIG, RETRY_OF, SEED_OF, cause_of
from autotrain.search.record import is_foreign, own_trials
from autotrain.search.sampling.grouped_tpe import GroupedTPESampler
from autotrain.search.sampling.replayed_cmaes import ReplayedCmaEsSampler


def seed_number(study: optuna.Study, trial: FrozenTrial) -> int:
    """Return the number from which the seeds of a trial are derived.

    It is the trial's number without retried trials, so that an interruption does not change later
    seeds. A retry has the seed number of the trial that it retries.
    """
    if SEED_OF in trial.user_attrs:
        return int(trial.user_attrs[SEED_OF])
    before = (t for t in study.get_trials(deepcopy=False) if t.number < trial.number)
    return trial.number - sum(RETRY_OF in t.user_attrs for t in before)


class LearnedStudy(optuna.Study):
    """The study as samplers see it: the same trials, with other curves.

    A pruned trial's curve ends with the value that it would have had if it had ended there, which
    is what a sampler should learn. The curve of a trial that diverged, or did not fit into memory,
    is no evidence about its configuration: here such a trial has no curve. TPE, the only one of
    `SAMPLERS` that learns from pruned trials, ranks complete trials first, then pruned ones by
    epochs and value, then those without a curve. An epoch is one pass over the training rows
    whatever the batch size, so epochs compare.

    Trials that are not in the study's space are left out: they have no parameters of it, and a
    sampler over the parameters that all trials have would have none left.

    Args:
        left_out: numbers of trials not to learn from; see `unlike_own`.
    """

    def __init__(self, study: optuna.Study, left_out: Collection[int] = ()) -> None:
        self.__dict__ = study.__dict__ | {"_left_out": left_out}

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy, states, use_cache)
        return [
            _without_curve(trial) if _is_worst(trial) else trial
            for trial in trials
            if CONFIG not in trial.user_attrs and trial.number not in self._left_out
        ]

    _left_out: Collection[int]


def unlike_own(study: optuna.Study) -> frozenset[int]:
    """Return the numbers of added trials whose parameters differ from those of the study.

    A trial that was added through Optuna can have other parameters, or other ranges. Optuna's
    samplers cannot compare these.
    """
    attrs, trials = study.user_attrs, study.get_trials(deepcopy=False)
    added = [trial for trial in trials if is_foreign(trial, attrs)]
    if not added:
        return frozenset()
    known: dict[str, BaseDistribution] = {}
    for trial in own_trials(trials, attrs):
        known.update(trial.distributions)
    return frozenset(
        trial.number
        for trial in added
        if not trial.distributions
        or any(known.get(name) != kind for name, kind in trial.distributions.items())
    )


def _not_sampled(study: optuna.Study, but: FrozenTrial) -> frozenset[int]:
    """Return the numbers of other running trials without parameters.

    A killed search may have begun trials whose parameters are not recorded. They are sampled again
    one after another, and a sampler must not see the later ones.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return frozenset(
        trial.number for trial in running if not trial.params and trial.number != but.number
    )


def _is_worst(trial: FrozenTrial) -> bool:
    cause = cause_of(trial)
    return cause is not None and cause.is_worst


def _without_curve(trial: FrozenTrial) -> FrozenTrial:
    shown = copy.copy(trial)
    shown.intermediate_values = {}
    return shown


def sampler_seed(study_seed: int, number: int) -> int:
    """Derive the seed of a trial's sampler, independent between trials and between studies."""
    sequence = np.random.SeedSequence(entropy=study_seed, spawn_key=(number,))
    return int(sequence.generate_state(1)[0])


class SteadyQMCSampler(QMCSampler):
    """Optuna's scrambled Sobol sequence over the parameters of the study's first trial.

    Optuna uses the first *finished* trial. With several trials at a time the sequence would restart
    at a point that was tried before, whenever a trial with a lower number finishes later.
    """

    def __init__(self, **options: Any) -> None:
        # This skips Optuna's warning that the class is experimental. A warnings filter is shared by
        # all threads, so it fails when several threads make samplers.
        inspect.unwrap(QMCSampler.__init__)(self, **options)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters of the lowest-numbered trial before this one that has any."""
        for earlier in study.get_trials(deepcopy=False):
            if earlier.number < trial.number and earlier.distributions:
                return dict(earlier.distributions)
        return {}


@dataclass(frozen=True)
class SamplerRow:
    """A row of `SAMPLERS`.

    Args:
        build: makes the sampler of a trial from (study seed, trial's seed).
        doc: description in one clause, with its limits.
        packages: packages that it needs besides those of Optuna.
    """

    build: Callable[[int, int], BaseSampler]
    doc: str
    packages: tuple[str, ...] = ()


def _tpe(study_seed: int, seed: int) -> BaseSampler:
    return GroupedTPESampler(seed)


def _gp(study_seed: int, seed: int) -> BaseSampler:
    # It logs once per process that one more package would make it a little faster.
    logging.getLogger("optuna._gp.batched_lbfgsb").setLevel(logging.ERROR)
    independent = RandomSampler(seed=seed)
    return GPSampler(seed=seed, independent_sampler=independent, warn_independent_sampling=False)


def _cmaes(study_seed: int, seed: int) -> BaseSampler:
    independent = RandomSampler(seed=seed)
    return ReplayedCmaEsSampler(
        # Optuna fixes the dimensions with the first generation. With ten trials most parameters
        # that only some trials have are known by then.
        n_startup_trials=10,
        seed=seed,
        independent_sampler=independent,
        warn_independent_sampling=False,
    )


def _random(study_seed: int, seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


def _qmc(study_seed: int, seed: int) -> BaseSampler:
    return SteadyQMCSampler(
        scramble=True,
        # One sequence for the whole study; its position is in the storage.
        seed=sampler_seed(study_seed, 0),
        independent_sampler=RandomSampler(seed=seed),
        warn_independent_sampling=False,
    )


SAMPLERS: dict[str, SamplerRow] = {
    "tpe": SamplerRow(_tpe, "tree-structured Parzen estimators, jointly for each group"),
    "gp": SamplerRow(
        _gp,
        "Gaussian process over parameters that all trials have; the others at random",
        ("scipy", "torch"),
    ),
    "cmaes": SamplerRow(
        _cmaes,
        "evolution strategy over numbers that all trials have; the others at random",
        ("cmaes",),
    ),
    "random": SamplerRow(_random, "independent and uniform (on the log scale where asked for)"),
    "qmc": SamplerRow(
        _qmc,
        "scrambled Sobol points over the first trial's parameters; the others at random",
        ("scipy",),
    ),
}


class SeededSampler(BaseSampler):
    """A sampler that uses a new sampler for each trial.

    Each running trial keeps its sampler until it ends. The sampler is made when Optuna calls
    `before_trial`, or with the first parameter if a wrapping sampler calls only the sampling
    methods.

    Attributes:
        name: its row in `SAMPLERS`.
        seed: the study's seed.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.seed = seed
        self._running: dict[int, BaseSampler] = {}
        self._left_out: dict[int, frozenset[int]] = {}

    def for_trial(self, number: int) -> BaseSampler:
        """Make the sampler of the trial with this seed number."""
        return SAMPLERS[self.name].build(self.seed, sampler_seed(self.seed, number))

    def reseed_rng(self) -> None:
        """Do nothing, because the seeds depend only on the study and the trial."""

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Make a new sampler for a trial, also for an interrupted one that begins again."""
        self._forget(trial)
        self._sampler_of(study, trial).before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters that the trial's sampler samples jointly."""
        sampler = self._sampler_of(study, trial)
        return sampler.infer_relative_search_space(self._learned(study, trial), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample parameters jointly."""
        sampler = self._sampler_of(study, trial)
        return sampler.sample_relative(self._learned(study, trial), trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Sample one parameter."""
        sampler = self._sampler_of(study, trial)
        return sampler.sample_independent(
            self._learned(study, trial), trial, param_name, param_distribution
        )

    def after_trial(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Notify the trial's sampler, if this process asked for the trial, and drop it."""
        sampler = self._forget(trial)
        if sampler is not None:
            sampler.after_trial(study, trial, state, values)

    def _forget(self, trial: FrozenTrial) -> BaseSampler | None:
        self._left_out.pop(trial.number, None)
        return self._running.pop(trial.number, None)

    def _learned(self, study: optuna.Study, trial: FrozenTrial) -> LearnedStudy:
        if trial.number not in self._left_out:
            self._left_out[trial.number] = unlike_own(study) | _not_sampled(study, trial)
        return LearnedStudy(study, self._left_out[trial.number])

    def _sampler_of(self, study: optuna.Study, trial: FrozenTrial) -> BaseSampler:
        if trial.number not in self._running:
            self._running[trial.number] = self.for_trial(seed_number(study, trial))
        return self._running[trial.number]


def make_sampler(name: str = "tpe", seed: int = 0) -> SeededSampler:
    """Make the sampler of a study.

    Args:
        name: a row of `SAMPLERS`.
        seed: the study's seed.
    Raises:
        StudyError: when the name is unknown, a package is missing or the seed is negative.
    """
    if name not in SAMPLERS:
        raise StudyError(errors.unknown("sampler", name, SAMPLERS))
    if seed < 0:
        raise StudyError(f"seed must be at least 0, got {seed}.", parameter="seed")
    for package in SAMPLERS[name].packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise StudyError(
                f"sampler {name!r} needs the package {package}, which is not installed. "
                f"Run: pip install {package}"
            ) from error
    return SeededSampler(name, seed)
