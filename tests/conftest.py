"""Settings of all tests: one thread, warnings are errors, skipped tests fail in CI.

- `shared_data` is the folder of real data next to the checkout. A test with this fixture, or a case
  marked `pytest.mark.shared_data`, is not collected if the folder is missing. Another test must
  check the same behaviour without it.
- `pytest.mark.cuda` is the same for an NVIDIA GPU.
- With CI=true a test that skips itself fails.
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

# No deadlines and no health check of slowness, because a test never measures time. CI uses the same
# examples each time, other runs use new ones.
hypothesis.settings.register_profile(
    "suite",
    deadline=None,
    derandomize=IS_CI,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data: `tidy/adult.csv.gz`, `fashion-mnist/`, ..."""
    return SHARED_DATA


@pytest.fixture
def shown_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Observers and readers of the storage see every step of a search."""
    from autotrain.search import loop, trial_store

    monkeypatch.setattr(trial_store, "CURVES_EVERY_S", 0.0)
    monkeypatch.setattr(loop, "SHOW_EVERY_S", 0.0)


@pytest.fixture
def one_by_one(shown_at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """One network is trained at a time, so that a test knows what an interruption cuts off."""
    from autotrain.search import launch

    monkeypatch.setattr(launch, "fleet_width", lambda *_: 1)


def pytest_report_header() -> list[str]:
    """Report at the top what this machine lacks."""
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
