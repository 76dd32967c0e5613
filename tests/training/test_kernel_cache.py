"""A cache of kernels that cannot be used costs time, and no training."""

from __future__ import annotations

import errno
import os
import types
from pathlib import Path
from typing import Any

import numba
import pytest

from autotrain.training.kernel_cache import KernelCache


def kernel(folder: Path) -> Any:
    """Return a kernel that is not compiled yet, whose cache is in a folder."""
    source = folder / "kernels.py"
    source.write_text("def double(x):\n    return x + x\n")
    os.utime(source, (1, 1))
    module = types.ModuleType("kernels")
    exec(compile(source.read_text(), str(source), "exec"), vars(module))
    made = numba.njit(vars(module)["double"])
    made._cache = KernelCache(made.py_func)
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("numba.core.config.CACHE_DIR", "")
    return tmp_path


def cached(folder: Path) -> list[Path]:
    return sorted((folder / "__pycache__").glob("*.nb[ci]"))


def n_hits(made: Any) -> int:
    return sum(made.stats.cache_hits.values())


def test_kernel_is_cached(folder: Path) -> None:
    assert kernel(folder)(2.0) == 4.0
    assert len(cached(folder)) == 2
    again = kernel(folder)
    assert again(2.0) == 4.0
    assert n_hits(again) == 1


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("content", [b"", b"\0" * 100])
def test_damaged_file_is_replaced(folder: Path, suffix: str, content: bytes) -> None:
    kernel(folder)(2.0)
    (file,) = [path for path in cached(folder) if path.suffix == suffix]
    file.write_bytes(content)
    again = kernel(folder)
    assert again(2.0) == 4.0
    assert n_hits(again) == 0
    third = kernel(folder)
    assert third(2.0) == 4.0
    assert n_hits(third) == 1


def test_full_disk_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = kernel(folder)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(made._cache._cache_file, "_save_data", refuse)
    assert made(2.0) == 4.0
    assert made(3) == 6


def test_missing_folder_is_reported_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("numba.core.caching._CacheLocator.ensure_cache_path", refuse)
    with pytest.raises(RuntimeError, match="cannot cache function"):
        kernel(folder)
