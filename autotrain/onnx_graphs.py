"""A bundle as ONNX graphs that run without autotrain: from raw cells to predictions.

    point.onnx       dropout off:  point `[N, C]` probabilities as trained, or `[N]` numbers; of
                     classes also proba `[N, C]`, as `predict_proba`
    predictor.onnx   Monte-Carlo:  mean, std, samples `[S, …]`; of classes also entropy `[N]` and
                     calibrated_mean `[N, C]`
    inputs.json      what stands in which column of the inputs

Both graphs read `numbers` `[N, P]` float64 (NaN where missing) and `codes` `[N, Q]` int64; one that
would have no column is left out. The masks are constants of the graph with a leading sample axis:
ONNX's own Dropout is taken out by onnxruntime's default optimizations, and nothing would be random
any more.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import importlib.util
import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autotrain.data.codes import ColumnCode
from autotrain.data.preprocessing import Preprocessor
from autotrain.errors import AutotrainError, StorageError
from autotrain.predictor import Predictor
from autotrain.predictor.plain import PlainPredictor, number_of_scaled
from autotrain.predictor.probabilities import Recalibration

OPSET = 20
POINT, SAMPLED, INPUTS = "point.onnx", "predictor.onnx", "inputs.json"
TOLERANCE = 1e-5
"""Probabilities, and numbers in standard deviations of the target, may differ by so much."""
CHECKED_ROWS = 64
LEAST = 1e-30
"""Smallest probability whose logarithm is taken; single precision can hold it."""


def export_onnx(
    predictor: Predictor, folder: str | Path, *, n_samples: int = 100, seed: int = 0
) -> Path:
    """Write the graphs of a model, and check them with onnxruntime on made-up rows.

    Args:
        folder: a new or an empty one.
        n_samples: S of `predictor.onnx`; without dropout there is only `point.onnx`.
        seed: of the masks.
    Returns: the folder.
    Raises:
        AutotrainError: when onnx, onnxscript or onnxruntime is not installed.
        StorageError: when the folder holds something or cannot be written.
        RuntimeError: when a graph says something else than the model; a bug, nothing is written.
    """
    _require_libraries()
    target = Path(folder)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise StorageError(
            f"{target}: expected a new or an empty folder, however: it is there already. "
            "Give another one, or remove it."
        )
    point = predictor.to_torch()
    about = _inputs(predictor, point)
    with tempfile.TemporaryDirectory(prefix="autotrain-") as made:
        beside = Path(made)
        of_classes = predictor.bundle.is_classification
        recalibration = predictor.point_recalibration if of_classes else None
        _write(_Point(point, recalibration), predictor, beside / POINT, about)
        if predictor.has_dropout:
            recalibration = predictor.recalibration if of_classes else None
            sampled = _Sampled(predictor.to_torch(n_samples, seed), recalibration)
            about |= {"n_samples": n_samples, "seed": seed}
            _write(sampled, predictor, beside / SAMPLED, about)
        text = json.dumps(about, indent=1, ensure_ascii=False)
        (beside / INPUTS).write_text(text, encoding="utf-8")
        try:
            target.mkdir(parents=True, exist_ok=True)
            for path in beside.iterdir():
                shutil.copyfile(path, target / path.name)
        except OSError as error:
            raise StorageError(
                f"{target} must be a folder that can be written, got: {error.strerror or error}. "
                "Free space there, or give another one."
            ) from error
    return target


class _Graph(nn.Module):
    """Names the inputs and outputs of a graph."""

    outputs: tuple[str, ...]

    def __init__(self, module: PlainPredictor) -> None:
        super().__init__()
        self.module = module
        self.eval()


class _Point(_Graph):
    def __init__(self, module: PlainPredictor, recalibration: Recalibration | None) -> None:
        super().__init__(module)
        self.recalibration = recalibration
        self.outputs = ("point",) if recalibration is None else ("point", "proba")

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor | tuple[Tensor, ...]:
        found: Tensor = self.module(numbers, codes)
        if self.recalibration is None:
            return found
        return found, _calibrated(found, self.recalibration)


class _Sampled(_Graph):
    def __init__(self, module: PlainPredictor, recalibration: Recalibration | None) -> None:
        super().__init__(module)
        self.recalibration = recalibration
        self.outputs = ("mean", "std", "samples")
        if recalibration is not None:
            self.outputs += ("entropy", "calibrated_mean")

    def forward(self, numbers: Tensor, codes: Tensor) -> tuple[Tensor, ...]:
        samples = self.module(numbers, codes)
        mean = samples.mean(0)
        found = [mean, ((samples - mean) ** 2).mean(0).sqrt(), samples]
        if self.recalibration is not None:
            positive = mean.clamp(min=LEAST)
            found.append(-(positive * positive.log()).sum(-1))
            found.append(_calibrated(mean, self.recalibration))
        return tuple(found)


def _calibrated(proba: Tensor, recalibration: Recalibration) -> Tensor:
    return recalibration.apply(proba.clamp(min=LEAST).log()).exp()


class _Alone(nn.Module):
    """A graph of which one input has no column."""

    def __init__(self, graph: _Graph, has_numbers: bool) -> None:
        super().__init__()
        self.both = graph
        self.has_numbers = has_numbers

    def forward(self, given: Tensor) -> Any:
        none = given.new_zeros((given.shape[0], 0))
        if self.has_numbers:
            return self.both(given, none.long())
        return self.both(none.double(), given)


def _write(graph: _Graph, predictor: Predictor, path: Path, about: dict[str, Any]) -> None:
    """Write a graph, and compare what onnxruntime makes of it with the module."""
    runtime = importlib.import_module("onnxruntime")
    numbers, codes = _rows(predictor, about)
    given = {"numbers": numbers, "codes": codes}
    given = {name: tensor for name, tensor in given.items() if tensor.shape[1]}
    module = graph if len(given) == 2 else _Alone(graph, "numbers" in given)
    rows = torch.export.Dim("rows", min=1, max=1 << 30)
    with _quiet():
        program = torch.onnx.export(
            module,
            tuple(given.values()),
            dynamo=True,
            input_names=list(given),
            output_names=list(graph.outputs),
            dynamic_shapes=({0: rows},) * len(given) if len(given) == 2 else ({0: rows},),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props["autotrain"] = json.dumps(about, ensure_ascii=False)
    program.save(str(path))
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for n_rows in (CHECKED_ROWS, 1):
        few = {name: tensor[:n_rows] for name, tensor in given.items()}
        found = session.run(None, {name: tensor.numpy() for name, tensor in few.items()})
        with torch.no_grad():
            expected = graph(numbers[:n_rows], codes[:n_rows])
        expected = expected if isinstance(expected, tuple) else (expected,)
        unit = max(member.target_std for member in predictor.bundle.members)
        for name, mine, its in zip(graph.outputs, expected, found, strict=True):
            apart = float(np.abs(mine.numpy() - its).max()) / unit
            if not apart <= TOLERANCE:
                raise RuntimeError(f"{path.name}: {name} is {apart:.2g} from the model's")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the exporter says of its own code."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _rows(predictor: Predictor, about: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Make up rows: numbers as in training, some missing; codes of every level and of none."""
    generator = np.random.default_rng(0)
    numbers = np.concatenate(
        [_numbers_like(each, generator) for each in predictor.preprocessors], axis=1
    )
    numbers[generator.uniform(size=numbers.shape) < 0.1] = np.nan
    columns = [
        generator.integers(-1, len(column["levels"]), CHECKED_ROWS) for column in about["codes"]
    ]
    codes = np.stack(columns, axis=1) if columns else np.empty((CHECKED_ROWS, 0), dtype=np.int64)
    return torch.from_numpy(numbers), torch.from_numpy(codes)


def _numbers_like(preprocessor: Preprocessor, generator: np.random.Generator) -> np.ndarray:
    z = generator.normal(size=(CHECKED_ROWS, number_of_scaled(preprocessor)))
    return preprocessor.typical_numbers(z.clip(-2.5, 2.5))


def _inputs(predictor: Predictor, module: PlainPredictor) -> dict[str, Any]:
    """Return what the columns of the inputs are, as JSON can hold it."""
    bundle = predictor.bundle
    scaled = [
        column
        for preprocessor in predictor.preprocessors
        for column in preprocessor.columns
        if column.is_scaled
    ]
    return {
        "opset": OPSET,
        "task": bundle.task,
        "target": bundle.target,
        "classes": list(bundle.classes),
        "numbers": [number for column in scaled for number in _numbers_of(column)],
        "codes": [
            {"column": name, "levels": list(levels)} for name, levels in module.levels.items()
        ],
        "note": (
            "numbers: float64 [N, P], NaN where missing; several members of different "
            "preprocessing repeat their columns. Parts of a date: year, month and day from 1, "
            "weekday from 0 on Monday, hour with its fraction, days since the date given. codes: "
            "int64 [N, Q], the place of the cell's text among its column's levels (null is the "
            "missing cell), -1 for any other; a text is taken without the spaces around it, a "
            "whole number without decimals (7, not 7.0), a truth value as the levels spell it"
        ),
    }


def _numbers_of(column: ColumnCode) -> list[dict[str, str]]:
    """Return what a column of numbers or dates gives, one entry for each number."""
    if column.is_number:
        return [{"column": column.name}]
    since = datetime.date(1970, 1, 1) + datetime.timedelta(days=column.origin)
    return [
        {"column": column.name, "part": part}
        | ({"since": since.isoformat()} if part == "days" else {})
        for part in column.parts
    ]


def _require_libraries() -> None:
    missing = [
        name
        for name in ("onnx", "onnxscript", "onnxruntime")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        raise AutotrainError(
            f"ONNX: expected onnx, onnxscript and onnxruntime to be installed, however: "
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not. "
            "Install them as autotrain was, with its extra `onnx`: pip install '.[onnx]'."
        )
