"""Documentation that is checked: what it shows runs, what it lists is all there is."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autotrain.export.onnx import export_onnx
from autotrain.predictor import load
from autotrain.search.pruning.pruners import PRUNERS
from autotrain.space.search_space import SearchSpace
from autotrain.space.sections import SECTIONS
from autotrain.space.values import show
from tests.winners import mixed_table, train

ROOT = Path(__file__).resolve().parents[1]


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


def test_the_space_in_the_docs_is_right() -> None:
    text = (ROOT / "docs" / "spaces.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    spaces = [SearchSpace(tomllib.loads(block)).resolve(1000, 5, "binary") for block in blocks]
    assert all(space.distributions() for space in spaces)
    assert "optimizer.nesterov.learning_rate" in spaces[0].distributions()
    assert spaces[0].baselines()


def test_readme_python_runs(tmp_path: Path) -> None:
    """As a script, with several processes and without a guard for them."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
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
        script.write_text(
            f"{smaller}\nprint('columns:', *result.to_frame().columns)\n", encoding="utf-8"
        )
        done = subprocess.run(
            [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert len(re.findall(r"^columns: .* entropy ", done.stdout, flags=re.MULTILINE)) == 1


def test_the_onnx_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frame = mixed_table()[["age", "paid", "city", "left"]]
    winner = train(frame, {"training.epochs": 2}, target="left")
    predictor = load(winner.export(tmp_path / "best").path)
    export_onnx(predictor, Path("churn-onnx"), n_samples=12)
    text = (ROOT / "docs" / "onnx.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, "onnx.md", "exec"), names)
    row = pd.DataFrame({"age": [31.0], "paid": [2.5], "city": ["Rom"]})
    result = predictor.predict_distribution(row, 12)
    np.testing.assert_allclose(names["mean"], result.mean, atol=1e-5)
    np.testing.assert_allclose(names["std"], result.std, atol=1e-5)


@pytest.mark.parametrize("page", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"])
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"
