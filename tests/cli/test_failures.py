"""Places that cannot be written: a message and exit code 2, never a traceback."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from autotrain.cli.failures import OPTIONS, REMEDIES, error_text, system_error_text
from autotrain.cli.main import COMMANDS
from autotrain.errors import AutotrainError
from tests.cli.conftest import Run


def fail(number: int) -> Any:
    def raises(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "some/file")

    return raises


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
@pytest.mark.parametrize(
    ("ending", "target"),
    [
        (".csv", "pandas.DataFrame.to_csv"),
        (".parquet", "pandas.DataFrame.to_parquet"),
        (".json", "autotrain.cli.predict._write_json"),
        (".csv", "pathlib.Path.replace"),
    ],
)
def test_unwritable_predictions_are_a_user_error(
    there: Path,
    tmp_path: Path,
    autotrain: Run,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    ending: str,
    target: str,
) -> None:
    monkeypatch.setattr(target, fail(number))
    output = tmp_path / f"predictions{ending}"
    done = autotrain("predict", "shop", "shop.csv", "--output", output)
    assert done.code == 2
    assert f"{output} must be writable" in done.err
    assert os.strerror(number) in done.err
    assert "Traceback" not in done.err
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder_is_refused_before_predicting(
    there: Path, tmp_path: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr("autotrain.predictor.load", fail(errno.EIO))
    done = autotrain("predict", "shop", "shop.csv", "--output", tmp_path / "p.csv")
    assert done.code == 2
    assert "must be in a writable folder" in done.err


def test_folder_as_output_file_is_refused(there: Path, tmp_path: Path, autotrain: Run) -> None:
    (tmp_path / "p.csv").mkdir()
    done = autotrain("predict", "shop", "shop.csv", "--output", tmp_path / "p.csv")
    assert done.code == 2
    assert "must be a file, got the folder" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("export", "shop", "--output"),
        ("export", "shop", "--format", "onnx", "--output"),
        ("search", "shop.csv", "--target", "bought", "--trials", "1", "--directory"),
    ],
)
def test_names_longer_than_a_file_name_are_refused(
    there: Path, tmp_path: Path, autotrain: Run, words: tuple[str, ...]
) -> None:
    done = autotrain(*words, tmp_path / ("x" * 300))
    assert done.code == 2, done.err
    assert os.strerror(errno.ENAMETOOLONG) in done.err
    assert "Traceback" not in done.err


def test_full_stdout_is_a_user_error(
    there: Path, autotrain: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("click.echo", _full_stdout(__import__("click").echo))
    done = autotrain("show")
    assert done.code == 2
    assert "No space left on device" in done.err
    assert "Traceback" not in done.err


def _full_stdout(echo: Any) -> Any:
    def full(*words: object, err: bool = False, **options: Any) -> None:
        if not err:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        echo(*words, err=err, **options)

    return full


def test_system_error_is_found_among_the_causes() -> None:
    full = sqlite3.OperationalError("database or disk is full")
    wrapped = RuntimeError("Optuna could not")
    wrapped.__cause__ = full
    assert "disk is full" in (system_error_text(wrapped) or "")
    for number, remedy in REMEDIES.items():
        words = system_error_text(OSError(number, os.strerror(number), "a/file")) or ""
        assert words.startswith("a/file must be")
        assert words.endswith(remedy)
    assert system_error_text(OSError(errno.ENOENT, "no such file", "a/file")) is None
    assert system_error_text(ValueError("a bug")) is None
    assert system_error_text(sqlite3.OperationalError("no such table: trials")) is None


def test_predictions_are_the_only_file_written(there: Path, tmp_path: Path, autotrain: Run) -> None:
    output = tmp_path / "p.parquet"
    assert autotrain("predict", "shop", "shop.csv", "--output", output).code == 0
    assert len(pd.read_parquet(output)) == len(pd.read_csv("shop.csv"))
    assert [path.name for path in tmp_path.iterdir()] == ["p.parquet"]


@pytest.mark.parametrize(
    ("parameter", "message", "expected"),
    [
        ("n_samples", "n_samples must be positive.", "--samples must be positive."),
        ("per_class", "per_class must be False.", "--per-class must be False."),
        ("y", "y must be numbers.", "y must be numbers."),
        ("seed", "the seed must be positive.", "the seed must be positive."),
        (None, "seed must be positive.", "seed must be positive."),
    ],
)
def test_message_names_the_option(parameter: str | None, message: str, expected: str) -> None:
    assert error_text(AutotrainError(message, parameter=parameter)) == expected


def test_mapped_options_exist() -> None:
    known = {option for command in COMMANDS for param in command.params for option in param.opts}
    assert set(OPTIONS.values()) <= known
