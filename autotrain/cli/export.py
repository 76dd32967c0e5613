"""`autotrain export`: copy a study's best model, or convert it to ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from autotrain.cli.deciding import check_positive, decided
from autotrain.cli.options import (
    directory_option,
    json_option,
    masks_seed_option,
    positive_option,
    samples_option,
    storage_of,
    storage_option,
    study_argument,
    threshold_option,
)
from autotrain.cli.parameters import FILE, FOLDER, Word
from autotrain.cli.printing import note, print_json, say

if TYPE_CHECKING:
    from autotrain.bundle import Bundle


@click.command(short_help="Copy a study's best model into its own folder.")
@study_argument
@click.option(
    "--trial",
    type=click.IntRange(min=0),
    metavar="N",
    help="Number of the trial [default: the winner].",
)
@click.option(
    "--data", type=FILE, metavar="DATA", help="Path of the same table, if moved (for --trial)."
)
@click.option(
    "--test", type=FILE, metavar="FILE", help="Path of the test rows, if moved (for --trial)."
)
@click.option(
    "--format",
    "kind",
    type=Word("format", ("bundle", "onnx")),
    default="bundle",
    show_default=True,
    help="Format of the model; onnx: graphs for onnxruntime, without autotrain.",
)
@threshold_option
@positive_option
@samples_option
@masks_seed_option
@click.option(
    "--output",
    type=FOLDER,
    metavar="DIR",
    help="New folder [default: NAME-bundle or NAME-onnx].",
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
    threshold: str | None,
    positive: str | None,
    samples: int,
    seed: int,
    output: str | None,
    storage: str | None,
    directory: str,
    as_json: bool,
) -> None:
    """Verify the best model of the study NAME and copy it into its own folder.

    The folder works without the study and without Optuna: `autotrain predict DIR DATA`, or
    `autotrain.load("DIR")` in Python. With --format onnx it contains graphs for onnxruntime. With
    --trial N it contains the model of that trial, which is first scored on the table again. A trial
    without a checkpoint is trained again from its record. With --threshold the labels of the copy
    follow a decision threshold.
    """
    from autotrain.bundle import ENSEMBLE, copy_bundle, read_bundle
    from autotrain.cli.bundles import find_bundle
    from autotrain.search.definition import Definition

    check_positive(positive, threshold)
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
    if threshold is not None:
        bundle = _decided(bundle, threshold, positive, kind)
    winner = bundle.training.get("trial")
    together = bundle.training.get(ENSEMBLE)
    model = f"the ensemble of {len(together)} trainings" if together else f"trial {winner}"
    target = Path(output if output is not None else f"{name}-{kind}")
    if kind == "onnx":
        from autotrain.export.onnx import export_onnx
        from autotrain.predictor import Predictor

        predictor = Predictor(bundle)
        folder = export_onnx(predictor, target, n_samples=samples, seed=seed)
        if as_json:
            print_json({"study": name, "trial": winner, "onnx": str(target), "path": str(folder)})
        else:
            say(f"Exported {model} of {name} as ONNX graphs to {target}")
            say("inputs.json describes the inputs of the graphs.", err=True)
            if not predictor.has_dropout:
                say("The model has no dropout, so there is only point.onnx.", err=True)
        return
    folder = copy_bundle(bundle, target)
    if as_json:
        print_json({"study": name, "trial": winner, "bundle": str(target), "path": str(folder)})
    else:
        say(f"Exported {model} of {name} to {target}")
        say(f"Use it with: autotrain predict {target} DATA --output FILE", err=True)


def _decided(bundle: Bundle, threshold: str, positive: str | None, kind: str) -> Bundle:
    """Return the model with the decision threshold of `--threshold`."""
    from autotrain.predictor import Predictor

    if kind == "onnx":
        raise click.BadParameter(
            "works with --format bundle only, because graphs return probabilities, got onnx. "
            "Leave it out.",
            param_hint="--threshold",
        )
    notices: list[str] = []
    found = decided(Predictor(bundle), threshold, positive, notices).bundle
    for notice in notices:
        note(f"Note: {notice}")
    return found


def _bundle_of(
    folder: Path, trial: int, *, data: str | None, test: str | None, storage: str | None
) -> Bundle:
    """Return the model of one trial: from `best/`, its checkpoint, or trained again."""
    from autotrain.bundle import ENSEMBLE, read_bundle
    from autotrain.bundle.temporary import temporary_folder
    from autotrain.errors import BundleError
    from autotrain.study import Study

    try:
        best = read_bundle(folder / "best")
        if best.training.get("trial") == trial and ENSEMBLE not in best.training:
            return best
    except BundleError:
        pass  # The checkpoints may be intact.
    study = Study.resume(
        folder.name, data=data, test=test, storage=storage, workers=1, directory=folder.parent
    )
    with temporary_folder() as scratch, study:
        return read_bundle(study.export(scratch / "bundle", trial))
