"""Checks of the environment: versions, libraries, devices and cores.

This module imports nothing heavy. A library that cannot be imported is a finding and not an error.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from autotrain.doctor.finding import Finding, Severity
from autotrain.validation import n_cores
from autotrain.vocabulary import count_text, size_text

GROUP = "environment"
MODULES = ("numpy", "torch", "numba", "optuna", "pandas", "pyarrow", "sklearn", "scipy")
"""Modules with compiled code, whose import fails when a system library does not fit."""
CGROUPS = Path("/sys/fs/cgroup")
DRIVER = Path("/proc/driver/nvidia/version")
PACKAGE = "autotrain"


def environment_findings() -> Iterator[Finding]:
    """Yield the findings about versions, libraries, devices and cores."""
    yield versions()
    libraries = imports()
    yield libraries
    if libraries.state == Severity.OK:
        yield devices()
    yield threads()


def versions() -> Finding:
    """Check that the installed packages have the versions that autotrain needs."""
    try:
        own = importlib.metadata.version(PACKAGE)
        needed = [Requirement(text) for text in importlib.metadata.requires(PACKAGE) or ()]
    except importlib.metadata.PackageNotFoundError:
        return _finding(
            "versions",
            Severity.WARNING,
            f"Package {PACKAGE} must be installed, got only its source code. "
            "The versions of its libraries are not checked.",
            "Run: pip install -e . (in the folder of the source code)",
        )
    wrong = {str(need): found for need in needed if (found := _wrong_version(need)) is not None}
    if wrong:
        got = "; ".join(f"{need} is needed, got {found}" for need, found in wrong.items())
        wanted = " ".join(f'"{need}"' for need in wrong)
        return _finding("versions", Severity.PROBLEM, f"{got}.", f"Run: pip install {wanted}")
    shown = [f"{name} {importlib.metadata.version(name)}" for name in ("torch", "optuna", "numpy")]
    words = [f"{PACKAGE} {own}", f"Python {platform.python_version()}", *shown]
    return _finding("versions", Severity.OK, f"{', '.join(words)}; {_system()}.")


def _wrong_version(need: Requirement) -> str | None:
    """Return the installed version of a package if it does not fit; None if it fits."""
    if need.marker is not None and not need.marker.evaluate({"extra": ""}):
        return None
    try:
        found = importlib.metadata.version(need.name)
    except importlib.metadata.PackageNotFoundError:
        return "nothing"
    return None if need.specifier.contains(found, prereleases=True) else found


def _system() -> str:
    return f"{platform.system()} {platform.machine()}"


def imports(names: tuple[str, ...] = MODULES) -> Finding:
    """Check that the libraries with compiled code can be imported."""
    failures = []
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            # A library that does not fit raises ImportError, OSError, or an error of its own.
            failures.append(f"{name} cannot be imported ({type(error).__name__}: {error})")
    if failures:
        return _finding(
            "libraries",
            Severity.PROBLEM,
            f"{'; '.join(failures)}.",
            "Install the named libraries again: pip install --force-reinstall NAME",
        )
    return _finding(
        "libraries",
        Severity.OK,
        f"{count_text(len(names), 'library', 'libraries')} with compiled code can be imported.",
    )


def devices(torch: Any = None, driver: Path = DRIVER) -> Finding:
    """Check that torch computes on the CPU and on each GPU.

    Args:
        torch: the module, which tests replace.
        driver: a file that exists when the driver of an NVIDIA GPU is loaded.
    """
    torch = torch or importlib.import_module("torch")
    has_gpu = torch.cuda.is_available()
    names = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count() if has_gpu else 0))]
    failures = []
    for name in names:
        try:
            ones = torch.ones(64, 64, device=name)
            if float((ones @ ones).sum()) != 64**3:
                failures.append(f"{name} computes wrong products")
        except Exception as error:
            # Drivers and CUDA libraries that do not fit raise many kinds of errors.
            failures.append(f"{name}: {type(error).__name__}: {_first_line(error)}")
    if failures:
        return _finding(
            "devices",
            Severity.PROBLEM,
            f"torch must compute on all devices, got {'; '.join(failures)}.",
            "Install a build of torch for this processor and driver, or use --device cpu.",
        )
    if not has_gpu and driver.exists():
        return _finding(
            "devices",
            Severity.WARNING,
            f"An NVIDIA driver is loaded, but torch {torch.__version__} finds no GPU.",
            "Install a CUDA build of torch: https://pytorch.org/get-started/locally",
        )
    gpus = [_gpu_words(torch, n) for n in range(len(names) - 1)]
    found = ", ".join(gpus) if gpus else "no GPU"
    return _finding(
        "devices",
        Severity.OK,
        f"CPU and {found}; torch computes on them."
        if gpus
        else f"CPU, {found}; torch {torch.__version__} computes.",
    )


def _gpu_words(torch: Any, number: int) -> str:
    free, total = torch.cuda.mem_get_info(number)
    name = torch.cuda.get_device_name(number)
    return f"GPU {number} {name} ({size_text(free)} of {size_text(total)} free)"


def threads(n: int | None = None, limit: float | None = None) -> Finding:
    """Check that one worker per core does not exceed the limit of the container.

    Args:
        n: number of cores; None for those of this process.
        limit: CPUs that the container may use; None for those of this container.
    """
    n, limit = n or n_cores(), limit or cpu_limit()
    workers = count_text(n, "worker process", "worker processes")
    text = f"{count_text(n, 'core')}; a search starts {workers} with 1 thread each"
    if limit is not None and limit < 0.9 * n:
        return _finding(
            "threads",
            Severity.WARNING,
            f"{text}, but this container may use only {limit:g} CPUs.",
            f"Use --workers {max(1, round(limit))}.",
        )
    return _finding("threads", Severity.OK, f"{text}.")


def cpu_limit(root: Path = CGROUPS) -> float | None:
    """Return the number of CPUs that this container may use; None without a limit.

    Args:
        root: folder of the control groups.
    """
    try:
        # Version 2: "QUOTA PERIOD" in microseconds, "max" for no limit.
        quota, period = (root / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        used = int((root / "cpu" / "cpu.cfs_quota_us").read_text())
        return used / int((root / "cpu" / "cpu.cfs_period_us").read_text()) if used > 0 else None
    except (OSError, ValueError):
        return None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]


def _finding(name: str, state: Severity, text: str, fix: str = "") -> Finding:
    return Finding(GROUP, name, state, text, fix)
