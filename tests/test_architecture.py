"""Import contracts, modules that an import loads, public names, file sizes."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import autotrain

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "optuna", "optuna_dashboard", "pandas", "sklearn", "scipy", "pyarrow"}
COMMANDS = (
    *("search", "resume", "show", "report", "dashboard", "export", "predict", "evaluate"),
    *("spaces", "doctor"),
)
MOST_LINES = 700


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter, in the checkout."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


def loaded_by(code: str, *arguments: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after `code`."""
    tail = "import json, sys; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    done = run_python(f"{code}\n{tail}", *arguments)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}


def package_files() -> list[Path]:
    files = sorted((ROOT / "autotrain").rglob("*.py"))
    assert len(files) > 20
    return files


def test_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Contracts: 5 kept, 0 broken" in done.stdout, done.stdout


def test_quick_tests_are_from_every_folder() -> None:
    names = (ROOT / "tests" / "quick.txt").read_text(encoding="utf-8").splitlines()
    files = [ROOT / name.partition("::")[0] for name in names]
    assert all(file.is_file() for file in files)
    assert len(set(names)) == len(names)
    folders = {path.parent for path in (ROOT / "tests").glob("*/test_*.py")}
    assert {ROOT.joinpath(*file.relative_to(ROOT).parts[:2]) for file in files} >= folders


def test_importing_autotrain_loads_nothing_heavy() -> None:
    modules = loaded_by("import autotrain")
    assert "autotrain" in modules
    assert not modules & HEAVY


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_loads_nothing_heavy(command: str) -> None:
    code = """
import sys
from autotrain.cli.main import main
sys.argv = ["autotrain", *sys.argv[1:]]
try:
    code = main()
except SystemExit as stop:
    code = stop.code
assert not code, f"exit code {code}"
"""
    modules = loaded_by(code, *command.split(), "--help")
    assert "click" in modules
    assert not modules & HEAVY


def test_predicting_needs_no_pandas_scikit_learn_or_optuna() -> None:
    modules = loaded_by(
        "import autotrain.predictor, autotrain.bundle, autotrain.data.preprocessing"
    )
    assert "torch" in modules
    assert not modules & (HEAVY - {"torch"})


def test_worker_process_loads_no_pandas_or_scikit_learn() -> None:
    loaded = loaded_by("import autotrain.search.workers.processes")
    assert "torch" in loaded
    assert not loaded & {"pandas", "sklearn", "pyarrow"}


def test_public_names_exist_and_are_listed_once() -> None:
    names = list(autotrain.__all__)
    assert sorted(set(names)) == sorted(names)
    for name in names:
        assert getattr(autotrain, name) is not None
    assert set(names) <= set(dir(autotrain))


def test_public_names_are_those_of_the_documentation() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    fenced = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    blocks = "\n".join(code for word, code in fenced.findall(text) if word == "python")

    shown = set(re.findall(r"\bautotrain\.([A-Za-z]\w*)", blocks))
    for line in re.findall(r"from autotrain import ([\w, ]+)", blocks):
        shown |= {name.strip() for name in line.split(",")}
    submodules = {path.stem for path in (ROOT / "autotrain").iterdir()}
    undeclared = shown - set(autotrain.__all__) - submodules
    assert not undeclared, f"shown in the documentation, not in autotrain.__all__: {undeclared}"

    code = " ".join([blocks, *re.findall(r"`([^`\n]+)`", fenced.sub("", text))])
    unsaid = {name for name in autotrain.__all__ if not re.search(rf"\b{name}\b", code)}
    assert not unsaid, f"in autotrain.__all__, not in README.md or docs/: {unsaid}"


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        autotrain.no_such_name  # noqa: B018


def test_packages_describe_their_modules() -> None:
    for opener in (ROOT / "autotrain").rglob("__init__.py"):
        text = ast.get_docstring(ast.parse(opener.read_text(encoding="utf-8"))) or ""
        if opener.parent != ROOT / "autotrain":
            assert len(text.split()) >= 40, f"{opener}: describe how the modules combine"
        for name in re.findall(r"[\w/]+\.py", text):
            places = (opener.parent / name, ROOT / "autotrain" / name)
            assert any(map(Path.is_file, places)), f"{opener} names {name}"


def test_no_module_is_too_long() -> None:
    sizes = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in package_files()
    }
    assert {name: size for name, size in sizes.items() if size > MOST_LINES} == {}


def test_no_two_classes_have_the_same_name() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in package_files())
    counts = Counter(re.findall(r"^class (\w+)", text, re.MULTILINE))
    assert counts["Dataset"] == 1
    assert {name for name, count in counts.items() if count > 1} == set()


def without_shapes(node: ast.AST, above: str) -> Iterator[str]:
    """Yield the public functions below a node that take or return an array, and name no shape.

    Args:
        above: docstrings of the module and the classes, which may name the shapes instead.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from without_shapes(child, above + (ast.get_docstring(child) or ""))
        elif isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
            given = [argument.annotation for argument in (*child.args.args, *child.args.kwonlyargs)]
            types = [ast.unparse(each) for each in (*given, child.returns) if each is not None]
            named = re.compile(r"dict|Mapping")  # arrays by name have many shapes
            arrays = [t for t in types if re.search("Tensor|ndarray", t) and not named.search(t)]
            text = above + (ast.get_docstring(child) or "")
            if arrays and not re.search(r"`\[|shape", text):
                yield child.name


@pytest.mark.parametrize("folder", ["data", "network", "training", "bundle", "predictor"])
def test_functions_of_arrays_name_shapes(folder: str) -> None:
    found = {
        path.name: names
        for path in (ROOT / "autotrain" / folder).glob("*.py")
        if (tree := ast.parse(path.read_text(encoding="utf-8")))
        and (names := [*without_shapes(tree, ast.get_docstring(tree) or "")])
    }
    assert found == {}


def test_functions_without_shapes_are_found() -> None:
    code = 'def f(x: Tensor) -> int:\n    """Return 1."""\n'
    assert [*without_shapes(ast.parse(code), "")] == ["f"]
    assert [*without_shapes(ast.parse(code.replace("Return 1", "Return 1 for x `[N]`")), "")] == []


def test_no_file_contains_a_path_of_one_machine() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    assert ROOT / "pyproject.toml" in paths
    place = re.compile(rb"(?:^|[^\w.-])/(?:work|root|home|Users)/\w", re.MULTILINE)
    assert place.search(b"see /" + b"root/x")
    named = [
        str(path.relative_to(ROOT))
        for path in paths
        if path.is_file() and place.search(path.read_bytes())
    ]
    assert named == []
