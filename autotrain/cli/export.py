"""`autotrain export`: hand over a study's best model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autotrain.cli.options import (
    Count,
    FileName,
    StudyName,
    Word,
    directory_option,
    json_option,
    storage_of,
    storage_option,
)
from autotrain.cli.printing import print_json, say

if TYPE_CHECKING:
    from autotrain.bundle import Bundle


@click.command(short_help="Copy a study's best model into a folder of its own.")
@click.argument("name", type=StudyName())
@click.option("--trial", type=Count(0), help="Number of one of the best trials; else the model.")
@click.option("--data", type=FileName("DATA"), help="With --trial: the same table, if moved.")
@click.option("--test", type=FileName("FILE"), help="With --trial: the same test rows, if moved.")
@click.option(
    "--format",
    "kind",
    type=Word("format", ("bundle", "onnx")),
    default="bundle",
    show_default=True,
    help="onnx: graphs for onnxruntime, without autotrain.",
)
@click.option(
    "--samples",
    type=Count(1),
    default=100,
    show_default=True,
    help="Of onnx: Monte-Carlo samples of the graph.",
)
@click.option("--seed", type=Count(0), default=0, show_default=True, help="Of onnx: of the masks.")
@click.option(
    "--output", type=FileName("DIR", "dir"), help="A new folder; else NAME-bundle or NAME-onnx."
)
@storage_option
@directory_option
@json_option
def export(
    name: str,
    trial: int | None,
    data: str | None,
    test: str | None,
    kind: str,
    samples: int,
    seed: int,
    output: str | None,
    storage: str | None,
    directory: str,
    as_json: bool,
) -> None:
    """Copy the best model of the study NAME into a folder of its own, checked.

    The folder needs neither the study nor Optuna: `autotrain predict DIR DATA`, or
    `autotrain.load("DIR")` in Python. With --format onnx it holds graphs that onnxruntime runs.
    With --trial N it is the model of that trial, which is checked on the table once more.
    """
    from autotrain.bundle import ENSEMBLE, copy_bundle, read_bundle
    from autotrain.cli.bundles import find_bundle
    from autotrain.study.definition import Definition

    studies = Path(directory)
    Definition.read(studies / name)
    if trial is None:
        bundle = read_bundle(find_bundle(name, studies))
    else:
        bundle = _bundle_of(
            studies / name,
            trial,
            data=data,
            test=test,
            storage=storage_of(click.get_current_context(), storage, studies / name),
        )
    winner = bundle.training.get("trial")
    together = bundle.training.get(ENSEMBLE)
    model = f"The ensemble of {len(together)} trainings" if together else f"Trial {winner}"
    target = Path(output if output is not None else f"{name}-{kind}")
    if kind == "onnx":
        from autotrain.onnx_graphs import export_onnx
        from autotrain.predictor import Predictor

        predictor = Predictor(bundle)
        folder = export_onnx(predictor, target, n_samples=samples, seed=seed)
        if as_json:
            print_json({"study": name, "trial": winner, "onnx": str(target), "path": str(folder)})
        else:
            say(f"{model} of {name}, as graphs, is in {target}")
            say("inputs.json says what they read, docs/onnx.md how.", err=True)
            if not predictor.has_dropout:
                say("The model has no dropout: there is point.onnx alone.", err=True)
        return
    folder = copy_bundle(bundle, target)
    if as_json:
        print_json({"study": name, "trial": winner, "bundle": str(target), "path": str(folder)})
    else:
        say(f"{model} of {name} is in {target}")
        say(f"Predict with it: autotrain predict {target} DATA --output FILE", err=True)


def _bundle_of(
    folder: Path, trial: int, *, data: str | None, test: str | None, storage: str | None
) -> Bundle:
    """Return the model of one trial: that in `best/`, or one of its checkpoint."""
    from autotrain.api import Study
    from autotrain.bundle import ENSEMBLE, read_bundle
    from autotrain.errors import BundleError
    from autotrain.study.checkpoints import FOLDER as CHECKPOINTS
    from autotrain.study.checkpoints import Checkpoints

    try:
        best = read_bundle(folder / "best")
        if best.training.get("trial") == trial and ENSEMBLE not in best.training:
            return best
    except BundleError:
        pass  # The checkpoints may be intact.
    checkpoints = Checkpoints(folder / CHECKPOINTS)
    if checkpoints.of_trial(trial) is None:
        raise checkpoints.not_kept(trial)
    study = Study.resume(
        folder.name, data=data, test=test, storage=storage, workers=1, directory=folder.parent
    )
    with tempfile.TemporaryDirectory(prefix="autotrain-") as made, study:
        return read_bundle(study.export(Path(made) / "bundle", trial))
