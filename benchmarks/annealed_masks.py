"""Monte-Carlo masks after a dropout course that ends at 0: with which rate do they predict best?

    python -m benchmarks.annealed_masks --data FOLDER [--sets …] [--seeds 0 1 2]

One network shape is trained once with each of `RATES` and a `flat_cos` course, and once with a
constant rate (no search). The exported folds then predict the test rows with dropout off and by the
mean over 100 masks, whose rates are the trained rates times a factor. Each prediction has its own
temperature, fitted on the validation rows out of fold, so that the comparison is not one of
confidence. The unit of the paired comparison is one training; tables and splits are quality.py's.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from autotrain import Study
from autotrain.bundle import Bundle
from autotrain.export.calibration import fit_temperature
from autotrain.predictor.evaluation import Truth
from autotrain.predictor.joint import Joint
from autotrain.predictor.probabilities import Recalibration
from benchmarks.quality import SETS, make_split

RATES = (0.15, 0.3)
FACTORS = (1.0, 0.5, 0.25)
SAMPLES = 100
# All epochs train, so that the course reaches its end: a cosine to 0 chooses late epochs.
CONFIG = {
    "network": {"hidden_layers": 2, "hidden_units": 128},
    "activation": "silu",
    "schedule": "cosine",
    "training": {"epochs": 60},
    "early_stopping": {"enabled": False},
}
TABLES = [name for name, task in SETS.items() if task != "regression" and name != "labor"]


def with_rates(bundle: Bundle, factor: float) -> Bundle:
    """Return the bundle with all dropout rates times a factor."""
    members = []
    for member in bundle.members:
        dropout = member.config.dropout
        rates = {key: float(dropout[key]) * factor for key in ("rate", "input_rate")}
        config = replace(
            member.config, dropout=replace(dropout, parameters={**dropout.parameters, **rates})
        )
        members.append(replace(member, config=config))
    return replace(bundle, members=tuple(members))


def losses(study: Study) -> dict[str, tuple[float, float, float]]:
    """Return temperature, log loss without and with it, by the kind of prediction."""
    data, bundle = study.dataset, study.best_predictor().bundle
    test, labels = data.raw_test()
    y_test = Truth.read(bundle, labels).y
    folds = [data.raw_valid(fold) for fold in range(len(data.folds))]
    y = np.concatenate([Truth.read(bundle, truth).y for _, truth in folds])
    found = {}
    for name, factor in {"off": 0.0, **{f"rates × {f:g}": f for f in FACTORS}}.items():
        changed = with_rates(bundle, factor or 1.0)
        whole = Joint(changed)
        n_samples = SAMPLES if factor else 0
        parts = []
        for place, (rows, _) in enumerate(folds):
            alone = Joint(replace(changed, members=(changed.members[place],)))
            parts.append(alone.draw(alone.rows_of(rows), n_samples, 0, averaged=True)[0])
        temperature = fit_temperature(np.concatenate(parts), y)
        log_p = torch.from_numpy(whole.draw(whole.rows_of(test), n_samples, 0, averaged=True)[0])
        own = Recalibration(temperature, None).apply(log_p)
        plain, scaled = (-float(p[range(len(y_test)), y_test].mean()) for p in (log_p, own))
        found[name] = (temperature, plain, scaled)
    return found


def main() -> None:
    """Train, and print a table per course."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=TABLES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    arguments = parser.parse_args()
    for course in ("flat_cos", "constant"):
        rows: list[dict[str, tuple[float, float, float]]] = []
        for name in arguments.sets:
            for seed in arguments.seeds:
                for rate in RATES:
                    with tempfile.TemporaryDirectory() as folder:
                        split = make_split(arguments.data, name, seed, Path(folder))
                        with Study(
                            "masks",
                            data=str(split.train),
                            target=split.target,
                            task=split.task,
                            test=str(split.test),
                            workers=1,
                            seed=seed,
                            directory=folder,
                        ) as study:
                            dropout = {"choice": "dropout", "rate": rate, "course": course}
                            study.train({**CONFIG, "dropout": dropout}, quiet=True)
                            rows.append(losses(study))
        print(f"\n{course}: {len(rows)} trainings of {len(arguments.sets)} tables\n")
        print("| masks | T, median | log loss | own T | against off, own T | better on |")
        print("| --- | --- | --- | --- | --- | --- |")
        off = np.array([row["off"][2] for row in rows])
        for name in rows[0]:
            values = np.array([row[name] for row in rows])
            difference = values[:, 2] - off
            error = difference.std(ddof=1) / math.sqrt(len(rows)) if len(rows) > 1 else 0.0
            print(
                f"| {name} | {np.median(values[:, 0]):.2f} | {values[:, 1].mean():.4f} | "
                f"{values[:, 2].mean():.4f} | {difference.mean():+.4f} ± {error:.4f} | "
                f"{(difference < 0).mean():.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
