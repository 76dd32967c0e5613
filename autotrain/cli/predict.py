"""`autotrain predict`: predict new rows with uncertainty estimates."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from autotrain.cli.bundles import bundle_argument, find_bundle, rows_to_predict
from autotrain.cli.deciding import check_positive, decided
from autotrain.cli.options import (
    data_argument,
    directory_option,
    json_option,
    positive_option,
    quiet_option,
    sampling_options,
    threshold_option,
)
from autotrain.cli.parameters import FILE
from autotrain.cli.printing import note, print_json, say_table
from autotrain.cli.reading import reading_asked, reading_options
from autotrain.vocabulary import count_text

if TYPE_CHECKING:
    import pandas as pd

    from autotrain.predictor import Predictor

ENDINGS = (".csv", ".parquet", ".json")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
JSON_ROWS = 10_000
"""Rows per block of the JSON writer."""


@click.command(short_help="Predict new rows with uncertainty estimates.")
@bundle_argument
@data_argument
@sampling_options
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="Stop sampling a row once the standard error of its mean is at most X, in probability or "
    "in the units of the target; --samples is then the largest number.",
)
@threshold_option
@positive_option
@click.option(
    "--max-risk",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="R",
    help="Leave the label of uncertain rows empty, so that at most a fraction R of the others is "
    "wrong, with 90 % confidence.",
)
@click.option(
    "--least-certain",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the N least certain rows, with their numbers: by entropy, or by width of the "
    "interval.",
)
@reading_options
@click.option(
    "--output",
    type=FILE,
    metavar="FILE",
    help="File to write: .csv, .parquet or .json [default: CSV on stdout].",
)
@click.option(
    "--csv-safe",
    is_flag=True,
    help="Put ' before labels that a spreadsheet would run as formulas.",
)
@directory_option
@json_option
@quiet_option
@click.pass_context
def predict(
    ctx: click.Context,
    bundle: str,
    data: str,
    samples: int,
    alpha: float,
    per_class: bool,
    tolerance: float | None,
    threshold: str | None,
    positive: str | None,
    max_risk: float | None,
    least_certain: int | None,
    output: str | None,
    seed: int,
    csv_safe: bool,
    directory: str,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Predict the rows of DATA with BUNDLE, a bundle's folder or the name of a study.

    If DATA has its own test split (for example an image folder), that split is used. Each row gets
    a prediction with calibrated probabilities or intervals, and an uncertainty estimate by
    Monte-Carlo dropout. A model without dropout gives predictions and probabilities only.
    """
    check_positive(positive, threshold)
    if output is not None:
        _check_output(Path(output), data)
    if csv_safe and (as_json or (output is not None and Path(output).suffix.lower() != ".csv")):
        raise click.BadParameter(
            "works with CSV only, got JSON or Parquet. Leave it out.", param_hint="--csv-safe"
        )
    from autotrain.data.files import read_table
    from autotrain.predictor import load

    predictor = load(find_bundle(bundle, Path(directory)))
    table = read_table(data, predictor.reading.given(reading_asked(options)))
    notices: list[str] = list(table.notes)
    predictor = decided(predictor, threshold, positive, notices)
    # DATA may contain the target and the weights. They are no inputs, so no note is needed.
    known = [name for name in (predictor.target, predictor.weights_name) if name is not None]
    rows = rows_to_predict(table, notices).drop(columns=known, errors="ignore")
    is_explicit = ctx.get_parameter_source("samples") is not ParameterSource.DEFAULT
    if predictor.has_dropout or is_explicit or tolerance is not None:
        result = predictor.predict_distribution(
            rows,
            samples,
            alpha,
            seed,
            samples=False,
            tolerance=tolerance,
            per_class=per_class,
            notices=notices,
        )
        frame = result.to_frame()
        if tolerance is not None:
            frame["n_drawn"] = result.n_drawn
    else:
        frame = _point(predictor, rows, notices)
        notices.append("the model has no dropout, so predictions have no uncertainty estimate")
    if max_risk is not None:
        frame = _answered(predictor, rows, frame, max_risk, notices)
    if least_certain is not None:
        frame = _least_certain(predictor, frame, least_certain)
    frame = _without_formulas(frame) if csv_safe else frame
    for notice in notices:
        note(f"Note: {notice}", quiet=quiet)
    if output is not None:
        _write(frame, Path(output))
        note(f"Wrote {len(frame):,} predictions to {output}", quiet=quiet or as_json)
    if as_json:
        about = {"bundle": bundle, "task": predictor.task, "target": predictor.target}
        where = {"output": output} if output is not None else {"rows": frame.to_dict("records")}
        print_json({**about, "n_rows": len(frame), "notes": notices, **where})
    elif output is None:
        say_table(frame.to_csv(index=False))


def _point(predictor: Predictor, table: pd.DataFrame, notices: list[str]) -> pd.DataFrame:
    """Return predictions with dropout off: `prediction`, and for classes `proba_CLASS`."""
    import pandas as pd

    if predictor.task == "regression":
        return pd.DataFrame({"prediction": predictor.predict(table, notices=notices)})
    classes = predictor.classes_
    proba = predictor.predict_proba(table, notices=notices)
    columns: dict[str, Any] = {"prediction": predictor.predict(table)}
    columns |= {f"proba_{name}": proba[:, place] for place, name in enumerate(classes)}
    return pd.DataFrame(columns)


def _answered(
    predictor: Predictor, table: Any, frame: pd.DataFrame, max_risk: float, notices: list[str]
) -> pd.DataFrame:
    """Return the predictions with empty labels in `prediction` where `is_unsure`."""
    rule = predictor.abstention(max_risk)
    is_unsure = predictor.is_unsure(table, rule)
    frame["prediction"] = frame["prediction"].astype(object).mask(is_unsure, None)
    frame.insert(1, "is_unsure", is_unsure)
    if rule.limit is None:
        notices.append(
            f"all rows are unsure: on {count_text(rule.n_rows, 'held-out row')} no answers have an "
            f"error rate that is surely at most {max_risk:g}. Use a larger --max-risk or a model "
            "with more validation rows"
        )
    else:
        notices.append(
            f"{int(is_unsure.sum()):,} of {count_text(len(frame), 'row')} "
            f"({is_unsure.mean() if len(frame) else 0:.1%}) are unsure; on the held-out rows "
            f"{rule.share_answered:.1%} were answered, {rule.n_wrong:,} of {rule.n_answered:,} "
            "wrong"
        )
    return frame


def _least_certain(predictor: Predictor, frame: pd.DataFrame, n: int) -> pd.DataFrame:
    """Return the least certain rows, the least certain first, with their numbers from 1 as `row`.

    Without dropout, the entropy is that of the calibrated probabilities.
    """
    import numpy as np

    from autotrain.errors import BundleError
    from autotrain.predictor.distribution import least_certain

    if "entropy" in frame:
        uncertainty = frame["entropy"].to_numpy()
    elif predictor.task == "regression":
        if "upper" not in frame:
            raise BundleError(
                "--least-certain needs intervals, and this model has no dropout, so it has none. "
                "Search a space whose [dropout] rate is greater than 0."
            )
        uncertainty = (frame["upper"] - frame["lower"]).to_numpy()
    else:
        proba = frame[[f"proba_{name}" for name in predictor.classes_]].to_numpy()
        uncertainty = -(proba * np.log(np.where(proba > 0, proba, 1.0))).sum(axis=1)
    places = least_certain(uncertainty, n)
    chosen = frame.iloc[places].reset_index(drop=True)
    chosen.insert(0, "row", places + 1)
    return chosen


def _check_output(path: Path, data: str) -> None:
    """Refuse an output that cannot be written or would replace DATA, before any work."""
    if path.suffix.lower() not in ENDINGS:
        raise click.BadParameter(
            f"must end in {', '.join(ENDINGS)}, got {path}.", param_hint="--output"
        )
    if not path.parent.is_dir():
        raise click.BadParameter(
            f"must be in an existing folder, got {path.parent}. Create the folder first.",
            param_hint="--output",
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise click.BadParameter(
            f"must be in a writable folder, got {path.parent}. "
            "Change its permissions or choose another folder.",
            param_hint="--output",
        )
    try:
        exists = path.exists()
    except OSError as error:  # for example, the name is too long
        raise click.BadParameter(
            f"must be a writable file, got {path}: {error.strerror}.",
            param_hint="--output",
        ) from None
    if exists and path.is_dir():
        raise click.BadParameter(
            f"must be a file, got the folder {path}. Add a file name.",
            param_hint="--output",
        )
    if exists and Path(data).exists() and path.samefile(data):
        raise click.BadParameter(
            f"must not be DATA itself, which would be overwritten, got {path}.",
            param_hint="--output",
        )


def _without_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with ' before every string that a spreadsheet would run as a formula."""
    frame = frame.rename(columns=_no_formula)
    for name in frame.select_dtypes(exclude=["number", "bool"]):
        frame[name] = frame[name].map(_no_formula)
    return frame


def _no_formula(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


def _write(frame: pd.DataFrame, path: Path) -> None:
    """Write a temporary file and rename it, so that the output is complete or missing."""
    from autotrain.errors import StorageError

    temporary = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        if path.suffix.lower() == ".csv":
            frame.to_csv(temporary, index=False)
        elif path.suffix.lower() == ".parquet":
            frame.to_parquet(temporary, index=False)
        else:
            _write_json(frame, temporary)
        temporary.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path} must be writable, got: {error.strerror or error}. "
            "Free space there, or give another --output."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _write_json(frame: pd.DataFrame, path: Path) -> None:
    """Write a list of records, with all digits of numbers; NaN and infinity become null."""
    import numpy as np

    with path.open("w", encoding="utf-8") as file:
        file.write("[")
        for start in range(0, len(frame), JSON_ROWS):
            rows = frame.iloc[start : start + JSON_ROWS].replace([np.inf, -np.inf], np.nan)
            records = rows.astype(object).where(rows.notna(), None).to_dict("records")
            lines = ",\n ".join(json.dumps(record, ensure_ascii=False) for record in records)
            file.write(f"{',' if start else ''}\n {lines}")
        file.write("\n]\n")
