"""Commands on systems without the calls of Linux: Windows and macOS, imitated on this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import HOLDOUT

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import contextlib, io, sys
from pathlib import Path
import autotrain
from autotrain.bundle.systems import exchange_folders
from autotrain.cli import main as command_line
from autotrain.search.storage.lock import is_held

def run(*words):
    sys.argv = ["autotrain", *words]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command_line.main()
    print(words[0], code, flush=True)
    return out.getvalue() + err.getvalue()

search = sys.argv[1:]
assert not exchange_folders(Path("a"), Path("b"))
text = run(*search, "--trials", "3")
assert "Traceback" not in text, text
folder = Path("studies/shop")
assert not is_held(folder)
with autotrain.Study.resume("shop") as study:
    study.optuna_study
    assert is_held(folder)
    assert "is locked" in run("resume", "shop", "--trials", "1")
text = run("resume", "shop", "--trials", "2", "--workers", "2", "--quiet")
assert "Traceback" not in text, text
run("show", "shop")
run("export", "shop", "--output", "model", "--trial", "0")
run("predict", "model", "shop.csv", "--output", "p.csv")
run("doctor")
with autotrain.Study.resume("shop") as study:
    print(sum(trial.state.is_finished() for trial in study.optuna_study.trials), "trials")
"""


@pytest.mark.parametrize("system", ["windows", "macos"])
def test_commands_work_without_the_calls_of_linux(here: Path, system: str) -> None:
    (here / "program.py").write_text(PROGRAM)
    (here / "temporary").mkdir()
    words = ["search", "shop.csv", "--target", "bought", "--space", "space.toml", *HOLDOUT]
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "without_posix.py"), "program.py", *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ
        | {"WITHOUT": system, "PYTHONPATH": str(ROOT), "TMPDIR": str(here / "temporary")},
    )
    assert done.stdout.splitlines() == [
        "search 0",
        "resume 2",
        "resume 0",
        "show 0",
        "export 0",
        "predict 0",
        "doctor 0",
        "5 trials",
    ], done.stderr
    assert not list((here / "temporary").iterdir())
    unfinished = [path.name for path in (here / "studies" / "shop").glob(".*")]
    assert unfinished == []
