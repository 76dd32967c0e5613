"""The shipped search spaces, and the search for the file of a name or path.

Their folder is `search_spaces/`: inside the package when it is installed, at the top level of a
checkout. To ship another space, put its file there; its first comment line is its summary.
"""

from __future__ import annotations

from pathlib import Path

from autotrain.errors import SpaceError, unknown
from autotrain.vocabulary import user_path

PACKAGE = Path(__file__).resolve().parent.parent


def shipped_folder(package: Path = PACKAGE) -> Path:
    """Return the folder of the shipped spaces: the package's own, or the checkout's."""
    inside = package / "search_spaces"
    return inside if inside.is_dir() else package.parent / "search_spaces"


def shipped_spaces(package: Path = PACKAGE) -> dict[str, Path]:
    """Return the shipped spaces by name, "default" first."""
    files = sorted(
        shipped_folder(package).glob("*.toml"),
        key=lambda path: (path.stem != "default", path.stem),
    )
    return {path.stem: path for path in files}


def summary_of(path: Path) -> str:
    """Return the first line of a space file if it is a comment, otherwise an empty string."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                return line.strip("# \n") if line.startswith("#") else ""
    return ""


def find_space(name: str, folder: Path) -> Path:
    """Return the file of a shipped name or a path.

    Args:
        name: a shipped name ("default") or a path ("spaces/wide.toml").
        folder: the folder of relative paths.
    Raises:
        SpaceError: when there is no such space; the message suggests similar names.
    """
    shipped = shipped_spaces()
    if name in shipped:
        return shipped[name]
    path = folder / user_path(name)
    if path.is_file():
        return path
    if path.is_dir():
        raise SpaceError(name, ["must be a file, got a folder."])
    known = list(shipped)
    if path.suffix or path.with_name(path.name + ".toml").is_file():
        known += sorted(_files_near(name, path))
    raise SpaceError(name, [f"{unknown('search space', name, known)} Or give the path of a file."])


def _files_near(name: str, path: Path) -> list[str]:
    """Return the space files in the folder of a path, written relative like that path."""
    prefix = name[: len(name) - len(Path(name).name)]
    return [prefix + file.name for file in path.parent.glob("*.toml")]
