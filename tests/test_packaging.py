"""Installation: the wheel contains the search spaces, every dependency is pinned."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import autotrain

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SPACES = sorted(path.name for path in (ROOT / "search_spaces").glob("*.toml"))


def pinned_versions() -> dict[str, str]:
    """Read constraints.txt; every line must be `name==version`."""
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r"([\w.-]+)==([0-9][0-9a-z.]*)", line)
            assert match, f"expected name==version, got {line!r}"
            pins[canonical(match[1])] = match[2]
    return pins


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the checkout, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_contains_the_search_spaces(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    held = sorted(Path(name).name for name in names if name.startswith("autotrain/search_spaces/"))
    assert held == SPACES
    assert {"default.toml", "notes.toml", "notes_plus.toml"} <= set(held)
    assert "autotrain/py.typed" in names
    assert {name.partition("/")[0] for name in names} == {
        "autotrain",
        f"autotrain-{PROJECT['version']}.dist-info",
    }


def test_shipped_spaces_are_found_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(installed)
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import autotrain
from autotrain.space.search_space import SearchSpace
assert autotrain.__file__.startswith(sys.argv[1]), autotrain.__file__
for name in sys.argv[2:]:
    SearchSpace.from_toml(name)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(installed), *(Path(name).stem for name in SPACES)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_version_is_defined_once() -> None:
    assert autotrain.__version__ == PROJECT["version"] == metadata.version("autotrain")


def test_every_dependency_is_pinned_within_its_range() -> None:
    pins = pinned_versions()
    extras = PROJECT["optional-dependencies"]
    declared = [*PROJECT["dependencies"], *extras["dev"], *extras["docs"], *extras["onnx"]]
    for requirement in map(Requirement, declared):
        assert requirement.specifier.contains(pins[canonical(requirement.name)]), requirement
    assert pins["torch"] == "2.13.0"


def test_every_dependency_has_an_upper_bound() -> None:
    extras = PROJECT["optional-dependencies"]
    for requirement in map(
        Requirement, [*PROJECT["dependencies"], *extras["onnx"], *extras["dev"]]
    ):
        bounds = {each.operator for each in requirement.specifier}
        assert bounds & {"<", "==", "<=", "~="}, requirement


def test_every_dependency_is_imported() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "autotrain").rglob("*.py"))
    imported = set(re.findall(r"^\s*(?:import|from) (\w+)", text, re.MULTILINE))
    names = {canonical(Requirement(line).name) for line in PROJECT["dependencies"]}
    modules = {
        "scikit-learn": "sklearn",
        "tomli-w": "tomli_w",
        "optuna-dashboard": "optuna_dashboard",
    }
    assert {name for name in names if modules.get(name, name) not in imported} == set()


def test_transitive_dependencies_are_pinned() -> None:
    pins = pinned_versions()
    installed = {canonical(each.metadata["Name"]) for each in metadata.distributions()}
    # `make` installs all of them; another environment may be without the extra `docs`.
    assert set(pins) <= installed or not os.environ.get("CI")
    missing = set()
    for name in set(pins) & installed:
        for line in metadata.requires(name) or []:
            requirement = Requirement(line)
            marker = requirement.marker
            # torch pins its own dependencies on a machine with a GPU.
            ours = not re.match(r"cuda-|nvidia-|triton", requirement.name)
            if ours and (marker is None or marker.evaluate({"extra": ""})):
                missing |= {canonical(requirement.name)} - set(pins)
    assert missing == set()
