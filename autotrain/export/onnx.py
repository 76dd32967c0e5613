"""Export a bundle as ONNX graphs, which predict raw cells without autotrain.

    point.onnx       dropout off:  point `[N, C]` uncalibrated probabilities, or `[N]` numbers; for
                     classification also proba `[N, C]`, as in `predict_proba`
    predictor.onnx   Monte-Carlo:  mean, std, samples `[S, …]`; for classification also entropy
                     `[N]` and calibrated_mean `[N, C]`
    inputs.json      description of the columns of the inputs

Both graphs read `numbers` `[N, P]` float64 (NaN if missing) and `codes` `[N, Q]` int64. An input
without columns is omitted. The masks are constants of the graph with a leading sample axis, because
onnxruntime's default optimizations remove ONNX's own Dropout.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import importlib.util
import json
import logging
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from autotrain.bundle.temporary import temporary_folder
from autotrain.data.codes import ColumnCode
from autotrain.data.preprocessing import Preprocessor
from autotrain.errors import AutotrainError, StorageError
from autotrain.predictor import Predictor
from autotrain.predictor.plain import PlainPredictor, number_of_scaled
from autotrain.predictor.probabilities import Recalibration

OPSET = 20
POINT, SAMPLED, INPUTS = "point.onnx", "predictor.onnx", "inputs.json"
TOLERANCE = 1e-5
"""Largest difference of probabilities, or of numbers in standard deviations of the target."""
CHECKED_ROWS = 64
LEAST = 1e-30
"""Lower bound of probabilities before the logarithm; single precision can represent it."""


def export_onnx(
    predictor: Predictor, folder: str | Path, *, n_samples: int = 100, seed: int = 0
) -> Path:
    """Write the graphs of a model, and check them with onnxruntime on generated rows.

    Args:
        predictor: the model.
        folder: a new or empty folder.
        n_samples: S of `predictor.onnx`. A model without dropout has only `point.onnx`.
        seed: random seed of the masks.
    Returns: the folder.
    Raises:
        AutotrainError: when onnx, onnxscript or onnxruntime is not installed.
        StorageError: when the folder is not empty or cannot be written.
        RuntimeError: when the outputs of a graph differ from the model, which is a bug; nothing is
            written.
    """
    _require_libraries()
    target = Path(folder)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise StorageError(
            f"{target} must be a new or empty folder, got an existing one. "
            "Use another folder, or remove this one."
        )
    point = predictor.to_torch()
    about = _inputs(predictor, point)
    with temporary_folder() as scratch:
        of_classes = predictor.bundle.is_classification
        recalibration = predictor.point_recalibration if of_classes else None
        _write(_Point(point, recalibration), predictor, scratch / POINT, about)
        if predictor.has_dropout:
            recalibration = predictor.recalibration if of_classes else None
            sampled = _Sampled(predictor.to_torch(n_samples, seed), recalibration)
            about |= {"n_samples": n_samples, "seed": seed}
            _write(sampled, predictor, scratch / SAMPLED, about)
        text = json.dumps(about, indent=1, ensure_ascii=False)
        (scratch / INPUTS).write_text(text, encoding="utf-8")
        try:
            target.mkdir(parents=True, exist_ok=True)
            for path in scratch.iterdir():
                shutil.copyfile(path, target / path.name)
        except OSError as error:
            raise StorageError(
                f"{target} must be a writable folder, got: {error.strerror or error}. "
                "Free space there, or use another folder."
            ) from error
    return target


class _Graph(nn.Module):
    """A module with the names of its outputs."""

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
    """A graph with only one input, because the other has no columns."""

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
    """Write a graph, and compare its outputs in onnxruntime with those of the module."""
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
                raise RuntimeError(f"{path.name}: {name} differs from the model by {apart:.2g}")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's warnings about its own code."""
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
    """Generate rows: typical numbers, some missing; known and unknown levels."""
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
    """Return a description of the columns of the inputs as JSON values."""
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
            "numbers: float64 [N, P], NaN if missing. Members with different preprocessing repeat "
            "their columns. Parts of a date: year; month and day from 1; weekday from 0 (Monday); "
            "hour with its fraction; days since the given date. codes: int64 [N, Q], the index of "
            "the cell's text in its column's levels (null is the missing cell), -1 if it is not "
            "there. Strip spaces around texts, write whole numbers without decimals (7, not 7.0), "
            "and truth values as in the levels."
        ),
    }


def _numbers_of(column: ColumnCode) -> list[dict[str, str]]:
    """Describe the numbers of a numeric or date column, one entry per number."""
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
            f"The export to ONNX needs packages that are not installed: {', '.join(missing)}. "
            "Install them: pip install onnx onnxruntime onnxscript."
        )
