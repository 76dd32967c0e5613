"""Checks that the best point of a complete trial's curve is its value.

    python benchmarks/curves.py holdout:FILE:TARGET 3-fold:FILE:TARGET 5-fold:FILE:TARGET

It runs a study for each argument and compares, trial by trial, the intermediate values in the
storage with the value of the trial. Equal means bit-identical.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter

from optuna.trial import TrialState

from autotrain import Study
from autotrain.search.progress import Silent


def main() -> None:
    """Print one line per study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="+", help="VALIDATION:FILE:TARGET")
    parser.add_argument("--space", default="default")
    parser.add_argument("--trials", type=int, default=20)
    arguments = parser.parse_args()
    print("data                 validation complete  equal pruned       ends")
    for item in arguments.studies:
        validation, source, target = item.split(":")
        with (
            tempfile.TemporaryDirectory() as folder,
            Study(
                None,
                data=source,
                target=target,
                space=arguments.space,
                validation=validation,
                workers=1,
                finalists=0,
                directory=folder,
            ) as study,
        ):
            study.optimize(n_trials=arguments.trials, observer=Silent())
            compare(study, validation)


def compare(study: Study, validation: str) -> None:
    """Print the number of trials whose curves agree with their values."""
    best = min if study.metric.sign > 0 else max
    found: Counter[str] = Counter()
    for trial in study.optuna_study.get_trials(deepcopy=False):
        curve = trial.intermediate_values
        if trial.state == TrialState.COMPLETE:
            found["complete"] += 1
            found["equal"] += best(curve.values()) == trial.value
        elif trial.state == TrialState.PRUNED and trial.user_attrs["cause"] != "diverged":
            found["pruned"] += 1
            found["ends"] += best(curve.values()) == curve[max(curve)] == trial.value
    print(
        f"{study.dataset.name:20} {validation:10} {found['complete']:8} {found['equal']:6} "
        f"{found['pruned']:6} {found['ends']:10}",
        flush=True,
    )


if __name__ == "__main__":
    main()
