"""Checks of the environment: versions, libraries, devices, cores, disk, caches."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import types
from pathlib import Path
from typing import Any

import pytest

from autotrain.bundle.temporary import PREFIX
from autotrain.doctor import disk, environment
from autotrain.doctor.check import check
from autotrain.doctor.finding import Finding, Severity, settled
from autotrain.errors import StudyError


def test_environment_of_the_tests_is_in_order() -> None:
    found = {finding.name: finding for finding in environment.environment_findings()}
    assert list(found) == ["versions", "libraries", "devices", "threads"]
    assert {found[name].state for name in ("versions", "libraries", "devices")} == {Severity.OK}


@pytest.mark.parametrize(
    ("needed", "got"),
    [
        (["numpy>=1"], None),
        (["numpy<1"], importlib.metadata.version("numpy")),
        (["no-such-package>=2"], "nothing"),
        (['no-such-package>=2; extra == "dev"'], None),
        (['numpy<1; python_version < "3"'], None),
    ],
)
def test_versions_are_compared_with_those_needed(
    monkeypatch: pytest.MonkeyPatch, needed: list[str], got: str | None
) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: needed)
    finding = environment.versions()
    assert (finding.state == Severity.OK) == (got is None)
    assert got is None or (f"got {got}" in finding.text and needed[0] in finding.fix)


def test_source_code_that_is_not_installed_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PACKAGE", "no-such-package")
    assert environment.versions().state == Severity.WARNING


def test_library_that_cannot_be_imported_is_a_problem() -> None:
    finding = environment.imports(("math", "no_such_module"))
    assert finding.state == Severity.PROBLEM
    assert "no_such_module" in finding.text


def test_studies_are_not_checked_without_the_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Finding("environment", "libraries", Severity.PROBLEM, "torch cannot be imported.")
    monkeypatch.setattr(environment, "imports", lambda: broken)
    found = check("missing", directory=tmp_path)
    assert [finding.name for finding in found] == ["versions", "libraries", "threads", "studies"]
    assert found[-1].state == Severity.PROBLEM


class Torch:
    """A stand-in for torch on a machine with a GPU, or with a driver alone."""

    __version__ = "0.0"

    def __init__(self, *, has_gpu: bool, error: Exception | None = None) -> None:
        self.cuda = self
        self.has_gpu, self.error = has_gpu, error

    def is_available(self) -> bool:
        return self.has_gpu

    def device_count(self) -> int:
        return int(self.has_gpu)

    def mem_get_info(self, number: int) -> tuple[int, int]:
        return 2_000_000_000, 8_000_000_000

    def get_device_name(self, number: int) -> str:
        return "Some GPU"

    def ones(self, *shape: int, device: str) -> Any:
        import torch

        if device != "cpu" and self.error is not None:
            raise self.error
        return torch.ones(*shape)


def test_gpus_are_listed_and_tried(tmp_path: Path) -> None:
    finding = environment.devices(Torch(has_gpu=True), tmp_path)
    assert finding.state == Severity.OK
    assert "GPU 0 Some GPU (2.0 GB of 8.0 GB free)" in finding.text
    error = RuntimeError("no kernel image is available\nmore lines")
    finding = environment.devices(Torch(has_gpu=True, error=error), tmp_path)
    assert finding.state == Severity.PROBLEM
    assert "cuda:0: RuntimeError: no kernel image is available." in finding.text


def test_driver_without_a_gpu_in_torch_is_a_warning(tmp_path: Path) -> None:
    assert environment.devices(Torch(has_gpu=False), tmp_path).state == Severity.WARNING
    assert environment.devices(Torch(has_gpu=False), tmp_path / "none").state == Severity.OK


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4.0),
        ({"cpu.max": "something else"}, None),
    ],
)
def test_cpu_limit_of_a_container_is_read(
    tmp_path: Path, files: dict[str, str], limit: float | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert environment.cpu_limit(tmp_path) == limit


def test_fewer_cpus_than_cores_are_a_warning() -> None:
    finding = environment.threads(16, 2.0)
    assert finding.state == Severity.WARNING
    assert "--workers 2" in finding.fix
    assert environment.threads(16, 16.0).state == Severity.OK


def test_free_space_is_checked_in_the_first_folder_that_exists(tmp_path: Path) -> None:
    missing = tmp_path / "studies" / "not yet"
    assert disk.space("disk", missing).state == Severity.OK
    assert not missing.parent.exists()
    huge = 1 << 62
    assert disk.space("disk", missing, low=huge).state == Severity.WARNING
    assert disk.space("disk", missing, low=huge, none=huge).state == Severity.PROBLEM
    assert not list(tmp_path.iterdir())


def test_folder_without_permission_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The user of the tests may be root, who has every permission.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert disk.space("disk", tmp_path).state == Severity.PROBLEM


def test_slow_sync_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "sync_seconds", lambda folder: 1.5)
    finding = disk.space("disk", tmp_path)
    assert finding.state == Severity.WARNING
    assert "1500 ms" in finding.text


def test_rows_of_killed_searches_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / f"{PREFIX}12345678"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "0.array").write_bytes(b"rows")
    free = disk.space("temporary", tmp_path)
    finding = disk.temporary_folders(tmp_path, free)
    assert (finding.state, "(4 B)" in finding.text) == (Severity.WARNING, True)
    assert folder.exists()
    assert settled(finding, fix=True).state == Severity.REPAIRED
    assert not folder.exists()
    assert disk.temporary_folders(tmp_path, free) is free


@pytest.fixture
def kernels(tmp_path: Path) -> types.ModuleType:
    """Give a module with one kernel whose cache is in an own folder."""
    import numba

    source = tmp_path / "kernels.py"
    source.write_text("def double(x):\n    return x + x\n")
    module = types.ModuleType("kernels")
    exec(compile(source.read_text(), str(source), "exec"), vars(module))
    vars(module)["double"] = numba.njit(cache=True)(vars(module)["double"])
    assert module.double(2.0) == 4.0
    return module


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("content", [b"", b"\0" * 100, None], ids=["empty", "zeros", "cut"])
def test_damaged_kernels_are_removed_and_compiled_again(
    tmp_path: Path, kernels: types.ModuleType, suffix: str, content: bytes | None
) -> None:
    import numba

    assert disk.kernel_cache(kernels).state == Severity.OK
    (file,) = Path(kernels.double.stats.cache_path).glob(f"kernels.*.{suffix}")
    file.write_bytes(file.read_bytes()[:-1] if content is None else content)
    finding = disk.kernel_cache(kernels)
    assert finding.state == Severity.WARNING
    assert file.name in finding.text
    again = numba.njit(cache=True)(kernels.double.py_func)
    with pytest.raises(Exception, match=r"[Pp]ickle|input|invalid load key|truncated"):
        again(2.0)
    assert settled(finding, fix=True).state == Severity.REPAIRED
    assert disk.kernel_cache(kernels).state == Severity.OK
    assert numba.njit(cache=True)(kernels.double.py_func)(2.0) == 4.0


def test_kernels_without_a_cache_are_a_warning(kernels: types.ModuleType) -> None:
    uncached = types.ModuleType("uncached")
    vars(uncached)["double"] = types.SimpleNamespace(stats=types.SimpleNamespace(cache_path=None))
    finding = disk.kernel_cache(uncached)
    assert finding.state == Severity.WARNING
    assert disk.CACHE_VARIABLE in finding.fix


def test_repair_that_fails_leaves_the_finding() -> None:
    def fail() -> str:
        raise StudyError("a search is running.")

    before = Finding("study", "trials", Severity.PROBLEM, "Trial 3 is open.", "Close it.", fail)
    after = settled(before, fix=True)
    assert (after.state, after.repair) == (Severity.PROBLEM, None)
    assert after.text == "Trial 3 is open. Not repaired: a search is running."
    assert settled(before, fix=False) is before


def test_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1000))
    finding = disk.space("disk", tmp_path)
    assert (finding.state, "1.0 kB" in finding.text) == (Severity.PROBLEM, True)
