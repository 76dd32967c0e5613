"""What holds for every test: one thread, warnings are errors, no skip that hides.

- `shared_data` is the folder of real data beside the checkout. A test that asks for this fixture,
  or one case of it marked `pytest.mark.shared_data`, is not collected where the folder is absent,
  so it must never be the only witness of a behaviour.
- `pytest.mark.cuda` likewise where there is no NVIDIA GPU.
- Under CI=true a test that skips itself fails.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

# Read by the libraries when they are loaded, here and in every child process.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import hypothesis  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)

IS_CI = os.environ.get("CI") == "true"
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# No deadlines and no complaint about slowness: a test never times. In CI the same examples every
# time; elsewhere new ones.
hypothesis.settings.register_profile(
    "suite",
    deadline=None,
    derandomize=IS_CI,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Give the folder of real data: `tidy/adult.csv.gz`, `fashion-mnist/`, ..."""
    return SHARED_DATA


def pytest_report_header() -> list[str]:
    """Say at the top what this machine lacks."""
    found = {
        "real data (../shared/data)": SHARED_DATA.is_dir(),
        "NVIDIA GPU": torch.cuda.is_available(),
    }
    return [f"{name}: {'yes' if there else 'no'}" for name, there in found.items()]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests for which this machine has no data or no GPU."""
    left_out = [item for item in items if not _can_run(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


def _can_run(item: pytest.Item) -> bool:
    wants_data = item.get_closest_marker("shared_data") is not None or "shared_data" in getattr(
        item, "fixturenames", ()
    )
    wants_gpu = item.get_closest_marker("cuda") is not None
    return not (
        (wants_data and not SHARED_DATA.is_dir()) or (wants_gpu and not torch.cuda.is_available())
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that skips itself in CI."""
    report = yield
    if IS_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome, report.longrepr = "failed", f"skipped, which CI refuses: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a file that skips itself in CI."""
    report = yield
    if IS_CI and report.skipped:
        report.outcome, report.longrepr = "failed", f"skipped, which CI refuses: {report.longrepr}"
    return report
