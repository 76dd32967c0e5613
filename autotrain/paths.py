"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path


def shown_path(path: Path) -> str:
    """Return a path as people read it: relative where it is below the working directory."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def user_path(text: str) -> Path:
    """Return a path with the home folder for ~; where there is no such user, it stays as it is."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path's own raises
