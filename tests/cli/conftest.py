"""Small tables, a space that is searched in a second, finished studies, a way to run commands."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from autotrain.cli import main as command_line

SPACE = """
[network]
hidden_layers = 1
hidden_units = { choices = [4, 8] }
[training]
batch_size = 16
epochs = 4
[activation]
choices = ["relu", "elu"]
[dropout]
choice = "dropout"
rate = 0.2
[optimizer]
choice = "adam"
learning_rate = { low = 0.003, high = 0.03, log = true }
[[forbid]]
activation = "relu"
network.hidden_units = 4
"""
NO_DROPOUT = SPACE.replace('choice = "dropout"\nrate = 0.2', 'choice = "none"')
DIVERGING = SPACE.replace("low = 0.003, high = 0.03", "low = 1e30, high = 1e31").replace(
    "adam", "sgd"
)
# One process, and one way to split: quick.
HERE = ("--workers", "1", "--device", "cpu")
# One network is exported, which is fast.
HOLDOUT = ("--validation", "holdout", "--ensemble", "0", *HERE)
N_TRIALS = 4


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


def write_tables(folder: Path) -> None:
    """Write two tables, one with two classes and one with a number to predict, and the spaces."""
    rng = random.Random(3)
    shop, paid = ["age,city,income,bought"], ["age,city,income,amount"]
    for _ in range(90):
        age, city = rng.randint(18, 80), rng.choice(["Bonn", "Ulm", "Jena"])
        income = "" if rng.random() < 0.1 else str(round(rng.gauss(3000, 800), 2))
        amount = round(age * 1.5 + rng.gauss(0, 3), 2)
        bought = "yes" if age + 20 * (city == "Ulm") + rng.gauss(0, 8) > 50 else "no"
        shop.append(f"{age},{city},{income},{bought}")
        paid.append(f"{age},{city},{income},{amount}")
    (folder / "shop.csv").write_text("\n".join(shop) + "\n")
    (folder / "paid.csv").write_text("\n".join(paid) + "\n")
    (folder / "space.toml").write_text(SPACE)
    (folder / "no_dropout.toml").write_text(NO_DROPOUT)
    (folder / "diverging.toml").write_text(DIVERGING)


def _run(
    capsys: pytest.CaptureFixture[str], words: tuple[object, ...], started_before_s: float
) -> Done:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["autotrain", *map(str, words)])
        # Time limits count from the start of the command, which is now.
        patch.setattr(command_line, "STARTED_S", time.monotonic() - started_before_s)
        handlers = [
            (number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGHUP)
        ]
        capsys.readouterr()
        try:
            code = command_line.main()
        finally:
            for number, handler in handlers:
                signal.signal(number, handler)
    out, err = capsys.readouterr()
    return Done(code, out, err)


@pytest.fixture
def autotrain(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: `autotrain("show", "churn")`.

    With `started_before_s=10` it seems to have started ten seconds ago.
    """
    return lambda *words, started_before_s=0.0: _run(capsys, words, started_before_s)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty folder with the tables in it, and work there."""
    write_tables(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with finished studies: shop (classes), paid (numbers), plain (no dropout)."""
    folder = tmp_path_factory.mktemp("finished")
    write_tables(folder)
    before = Path.cwd()
    os.chdir(folder)
    try:
        for study, data, target, space in (
            ("shop", "shop.csv", "bought", "space.toml"),
            ("paid", "paid.csv", "amount", "space.toml"),
            ("plain", "shop.csv", "bought", "no_dropout.toml"),
        ):
            with pytest.MonkeyPatch.context() as patch:
                words = ["search", data, "--target", target, "--space", space]
                words += ["--study", study, "--trials", str(N_TRIALS), "--quiet", *HOLDOUT]
                patch.setattr(sys, "argv", ["autotrain", *words])
                patch.setattr(command_line, "STARTED_S", time.monotonic())
                assert command_line.main() == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def there(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in the folder of the finished studies, which must stay as they are."""
    monkeypatch.chdir(finished)
    before = listing(finished)
    yield finished
    assert listing(finished) == before


def listing(folder: Path) -> dict[str, int]:
    """Return every file below a folder with its size."""
    return {
        str(path.relative_to(folder)): path.stat().st_size if path.is_file() else -1
        for path in sorted(folder.rglob("*"))
    }
