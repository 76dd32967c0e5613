"""Documentation that is checked: what it shows runs, what it lists is all there is."""

from __future__ import annotations

import fnmatch
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import time
import tomllib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import autotrain as package
from autotrain.cli.main import autotrain
from autotrain.errors import SpaceError
from autotrain.export.onnx import export_onnx
from autotrain.predictor import load
from autotrain.search.attributes import Cause
from autotrain.search.budget import RunBudget
from autotrain.search.pruning.pruners import PRUNERS
from autotrain.space.auto import (
    BATCH_SIZES,
    LARGEST_BATCH,
    MAX_EPOCHS,
    MIN_EPOCHS,
    ROWS_PER_TRAINING,
)
from autotrain.space.fixed import fixed_space
from autotrain.space.search_space import SearchSpace
from autotrain.space.sections import SECTIONS
from autotrain.space.values import show
from autotrain.study import Study
from tests.winners import mixed_table, train

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def name_of(page: Path) -> str:
    """Return a page's path for the names of tests."""
    return page.relative_to(ROOT).as_posix()


def test_techniques_page_is_what_the_tables_say() -> None:
    spec = importlib.util.spec_from_file_location("write", ROOT / "docs" / "write_techniques.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = (ROOT / "docs" / "techniques.md").read_text(encoding="utf-8")
    assert written == module.page(), "run: python docs/write_techniques.py"
    for section in SECTIONS.values():
        own = dict(section.parameters)
        for row in section.rows.values():
            assert f"| `{row.name}` | {row.summary.replace('|', chr(92) + '|')} |" in written
            own |= {f"{row.name}.{key}": each for key, each in row.parameters.items()}
        for key, parameter in own.items():
            assert f"| `{key}` | {show(parameter.default)} | {parameter.explain()}" in written


def test_the_page_of_the_commands_has_every_setting_of_the_pruners() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page[page.index("## Pruning") : page.index("## Completion")]
    documented = re.findall(r"^\| (`.*)$", section, flags=re.MULTILINE)
    assert documented == [
        f"`{name}` | {parameter.default:g} | {parameter.explain()} | {parameter.doc} |"
        for row in PRUNERS.values()
        for name, parameter in row.options.items()
    ]
    assert all(f"**{name}**" in section for name in PRUNERS)


def fences(page: Path) -> list[tuple[str, str, str]]:
    """Return the fenced blocks of a page: language, text, and the prose before the block."""
    text = page.read_text(encoding="utf-8")
    found, last = [], 0
    for match in re.finditer(r"^(`{3,})([^\n]*)\n(.*?)^\1$", text, re.DOTALL | re.MULTILINE):
        found.append((match[2].strip(), match[3], text[last : match.start()]))
        last = match.end()
    return found


def test_spaces_page_shows_complete_spaces() -> None:
    blocks = [text for kind, text, _ in fences(ROOT / "docs" / "spaces.md") if kind == "toml"]
    spaces = [SearchSpace(tomllib.loads(block)).resolve(1000, 5, "binary") for block in blocks]
    assert all(space.distributions() for space in spaces)
    assert "optimizer.nesterov.learning_rate" in spaces[0].distributions()
    assert spaces[0].baselines()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_fences_have_a_known_language(page: Path) -> None:
    """Blocks in `text` are output or commands that cannot run here."""
    kinds = {kind for kind, _, _ in fences(page)}
    assert kinds <= {"python", "toml", "console", "text", "{toctree}", "{eval-rst}"}


@pytest.fixture
def small_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every search be two short trials in this process, whatever budget a page shows."""
    init, optimize = Study.__init__, Study._optimize

    def small_init(self: Study, name: str | None, **arguments: Any) -> None:
        if arguments.get("space", "default") == "default":
            arguments["space"] = {"extends": "quick", "training": {"epochs": 3}}
        small = {"workers": 1, "finalists": 0, "validation": "holdout", "device": "cpu"}
        init(self, name, **arguments | small)

    def small_optimize(
        self: Study, budget: RunBudget, observer: Any, *, quiet: bool, **others: Any
    ) -> Study:
        return optimize(self, RunBudget(2), observer, quiet=True, **others)

    monkeypatch.setattr(Study, "__init__", small_init)
    monkeypatch.setattr(Study, "_optimize", small_optimize)


def customers() -> pd.DataFrame:
    """Return the table of customers that the pages use as an example."""
    frame = mixed_table()[["age", "paid", "city", "left"]]
    return frame.rename(columns={"left": "churned"})


def run_console(text: str) -> None:
    """Run the commands of a console block; those that install something are left out."""
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        assert words[0] == "$", line
        if words[1] != "autotrain":
            assert words[1:3] in (["make", "demo"], ["python", "-m"]), line
            continue
        assert not autotrain.main(words[2:], standalone_mode=False, obj=time.monotonic()), line


def check_toml(text: str, name: str | None) -> None:
    """Check a block that is a study file, one configuration or a space; save it under its name."""
    values = tomllib.loads(text)
    if "data" in values:
        Path("study.toml").write_text(text, encoding="utf-8")
        run_console("$ autotrain search study.toml --dry-run")
    else:
        try:
            fixed_space(values)
        except SpaceError:
            SearchSpace(values).resolve(1000, 5, "binary")
    if name is not None:
        Path(name).write_text(text, encoding="utf-8")


RUN = [
    page
    for page in PAGES
    if page.name != "onnx.md"
    and {"python", "toml", "console"} & {kind for kind, *_ in fences(page)}
]
"""The pages with blocks to run; that of ONNX needs a bundle of its own, see below."""


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_blocks_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_searches: None
) -> None:
    """One after the other, in one folder, with the names of the blocks before."""
    monkeypatch.chdir(tmp_path)
    customers().to_csv("customers.csv", index=False)
    names: dict[str, Any] = {}
    for kind, text, before in fences(page):
        if kind == "python":
            with warnings.catch_warnings():
                # So few rows calibrate that sets and intervals warn.
                warnings.simplefilter("ignore", UserWarning)
                exec(compile(text, page.name, "exec"), names)
        elif kind == "toml":
            named = re.findall(r"`(\w+\.toml)`", before)
            check_toml(text, named[-1] if named else None)
        elif kind == "console":
            run_console(text)


def test_shown_python_runs_as_a_script(tmp_path: Path) -> None:
    """Several processes start without a guard for them: README.md, and the estimators."""
    pages = (ROOT / "README.md", ROOT / "docs" / "quickstart.md")
    blocks = [
        text
        for page in pages
        for kind, text, _ in fences(page)
        if kind == "python" and (page.name == "README.md" or "MLPSearchClassifier" in text)
    ]
    assert len(blocks) == 2
    script = tmp_path / "script.py"
    for block in blocks:
        # The same calls, a smaller budget.
        assert "timeout=30" in block
        smaller = (
            block.replace(
                "timeout=30, n_jobs=-1", 'timeout=None, n_trials=2, space="quick", n_jobs=2'
            )
            .replace("timeout=30", "n_trials=2")
            .replace('"sklearn:breast_cancer"', '"sklearn:breast_cancer", space="quick", workers=2')
        )
        script.write_text(f"{smaller}\nprint('done')\n", encoding="utf-8")
        done = subprocess.run(
            [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines().count("done") == 1


def test_the_onnx_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frame = mixed_table()[["age", "paid", "city", "left"]]
    winner = train(frame, {"training.epochs": 2}, target="left")
    predictor = load(winner.export(tmp_path / "studies" / "churn" / "best").path)
    export_onnx(predictor, Path("churn-onnx"), n_samples=12)
    names: dict[str, Any] = {}
    for kind, text, _ in fences(ROOT / "docs" / "onnx.md"):
        if kind == "python":
            exec(compile(text, "onnx.md", "exec"), names)
    np.testing.assert_allclose(names["again"], names["mean"])
    row = pd.DataFrame({"age": [31.0], "paid": [2.5], "city": ["Rom"]})
    result = predictor.predict_distribution(row, 12)
    np.testing.assert_allclose(names["mean"], result.mean, atol=1e-5)
    np.testing.assert_allclose(names["std"], result.std, atol=1e-5)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    text = re.sub(
        r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"\s+", " ", page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^):]+)\)", text):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page.name} links to {link}"


def test_python_reference_has_every_public_name() -> None:
    text = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    documented = re.findall(
        r"auto(?:class|function|exception):: autotrain\.(\w+)$", text, re.MULTILINE
    )
    assert sorted(documented) == sorted(package.__all__)


def test_glossary_is_sorted_and_links_to_the_code() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^\*\*(.*)\*\*\n: (.*(?:\n  .*)*)", text, flags=re.MULTILINE)
    assert len(terms) > 30
    assert [term for term, _ in terms] == sorted(term for term, _ in terms)
    assert all("](" in meaning for _, meaning in terms)
    # A definition is at most two sentences, and not longer than three lines.
    assert [term for term, meaning in terms if meaning.count("\n") > 2] == []


def test_every_page_is_in_the_contents() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = {
        line
        for block in re.findall(r"```{toctree}\n(.*?)```", index, flags=re.DOTALL)
        for line in block.splitlines()
        if line and not line.startswith(":")
    }
    docs = ROOT / "docs"
    pages = {page.relative_to(docs).with_suffix("").as_posix() for page in docs.rglob("*.md")}
    assert listed == pages - {"index"}


def keys_in(section: str) -> list[str]:
    """Return the keys of the tables of a section of the JSON reference."""
    page = (ROOT / "docs" / "reference" / "json.md").read_text(encoding="utf-8")
    text = re.split(r"^## ", page.partition(f"\n## {section}\n")[2], flags=re.MULTILINE)[0]
    cells = re.findall(r"^\| (`[^|]*) \|", text, flags=re.MULTILINE)
    return [key for cell in cells for key in re.findall(r"`(\w+)`", cell)]


def test_json_reference_has_the_keys_of_every_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    small_searches: None,
) -> None:
    monkeypatch.chdir(tmp_path)
    customers().to_csv("customers.csv", index=False)

    def result(command: str) -> dict[str, Any]:
        capsys.readouterr()
        words = shlex.split(command)
        assert not autotrain.main([*words, "--json"], standalone_mode=False, obj=time.monotonic())
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    search = "search customers.csv --target churned --study churn --trials 2"
    assert sorted(result(f"{search} --dry-run")) == sorted(keys_in("search --dry-run"))
    assert sorted(result(search)) == sorted(keys_in("search, resume, train"))
    assert sorted(result("show churn")) == sorted(keys_in("show"))
    (listed,) = result("show")["studies"]
    assert sorted(listed) == sorted(keys_in("show"))
    assert sorted(result("show churn --trial 0")) == sorted(keys_in("show --trial"))
    assert set(result("export churn")) | {"onnx"} == set(keys_in("export"))
    assert set(result("predict churn customers.csv")) | {"output"} == set(keys_in("predict"))
    assert sorted(result("evaluate churn customers.csv")) == sorted(keys_in("evaluate"))
    checked = result("doctor churn")
    assert {*checked, *checked["findings"][0]} == set(keys_in("doctor"))
    of_table = result("spaces show quick --data customers.csv --target churned")
    assert sorted(of_table) == sorted([*keys_in("spaces show, spaces check"), "space"])
    assert set(result("spaces check quick")) == {"name", "combinations", "continuous", "notes"}


def test_spaces_page_has_the_rules_of_auto() -> None:
    page = (ROOT / "docs" / "spaces.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:at most ([\d,]+)|more) \| ([\d,]+) \|$", page, flags=re.MULTILINE)
    sizes = [(int(n.replace(",", "")) if n else 10**9, int(b.replace(",", ""))) for n, b in rows]
    assert sizes == [*BATCH_SIZES, (10**9, LARGEST_BATCH)]
    of_epochs = f"is {ROWS_PER_TRAINING:,} divided by the number of training rows, at least "
    assert f"{of_epochs}{MIN_EPOCHS} and at most {MAX_EPOCHS}." in " ".join(page.split())


@pytest.mark.parametrize("written", ["momentum = 0.9", "{ low = 0.0, high = 0.5, step = 0.1 }"])
def test_spaces_page_has_the_ways_to_write_a_value(written: str) -> None:
    page = (ROOT / "docs" / "spaces.md").read_text(encoding="utf-8")
    assert f"| `{written}` |" in page
    value = written.partition("momentum = ")[2] or written
    SearchSpace(tomllib.loads(f"[dropout]\nchoices = ['dropout']\nrate = {value}"))


def test_baseline_is_completed_as_the_spaces_page_has_it() -> None:
    space = SearchSpace(
        {
            "activation": {"choices": ["relu", "elu"]},
            "optimizer": {
                "choices": ["adam"],
                "learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
            },
            "dropout": {"choices": ["dropout"], "rate": {"low": 0.2, "high": 0.4}},
            "initializer": {"choices": ["he_normal", "lecun_normal"]},
            "forbid": [{"activation": ["relu", "elu"], "initializer": "lecun_normal"}],
            "baseline": [{"activation": "elu"}],
        }
    )
    (baseline,) = space.resolve(1000, 5, "binary").baselines()
    assert baseline["optimizer.learning_rate"] == pytest.approx(1e-3)
    assert baseline["dropout.rate"] == pytest.approx(0.3)
    assert baseline["initializer"] == "he_normal"


FOLDERS = ("autotrain", "benchmarks", "docs", "tests", "search_spaces")
FILES = [path.as_posix() for folder in FOLDERS for path in (ROOT / folder).rglob("*.*")]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_named_files_exist(page: Path) -> None:
    """Files in backticks, such as `search/loop.py`, are files of the checkout."""
    text = re.sub(
        r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    for name in re.findall(r"`([\w./*]+/[\w*]+\.(?:py|toml)|\w+\.py)`", text):
        assert any(fnmatch.fnmatch(path, f"*/{name}") for path in FILES), f"no file {name}"


def test_architecture_page_has_every_cause() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text[text.index("| state | causes |") :].partition("\n\n")[0]
    # A slot that is stopped has the cause of its trial; trials that are added have no training.
    causes = {str(cause) for cause in Cause} - {Cause.STOPPED, Cause.ADDED}
    assert set(re.findall(r"`(\w+)`", table)) == causes
