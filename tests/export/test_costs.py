"""The estimate of how long the end of a run takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autotrain.data.dataset import Dataset
from autotrain.data.loading import load_dataset
from autotrain.export.costs import MARGIN, StageTimes, end_seconds
from autotrain.export.writer import CALIBRATING
from tests.winners import random_bundle


class Clock:
    s = 100.0
    stretch = 1.0
    """Wall time of a second of processor time."""

    def __call__(self) -> tuple[float, float]:
        return self.s, self.stretch * self.s


@pytest.fixture(scope="module")
def iris() -> Dataset:
    return load_dataset("sklearn:iris", validation="3-fold")


def timed(seconds: dict[str, float]) -> StageTimes:
    """Return the times of an export that took these seconds in each stage."""
    clock = Clock()
    times = StageTimes(lambda stage: None, clock)
    for stage, own_s in seconds.items():
        times.enter(stage)
        clock.s += own_s
    return times


def test_seconds_of_each_stage() -> None:
    clock = Clock()
    seen: list[str] = []
    times = StageTimes(seen.append, clock)
    clock.s += 1
    times.enter("first")
    clock.s += 2
    times.enter("second")
    clock.s += 4
    assert (times.seconds_in("first"), times.seconds_in("second"), times.total_s()) == (2, 4, 7)
    assert seen == ["first", "second"]


@pytest.mark.parametrize(("stretch", "seconds"), [(1.0, 6.0), (1.5, 6.0), (3.0, 12.0)])
def test_wall_time_counts_if_other_programs_use_the_cores(stretch: float, seconds: float) -> None:
    clock = Clock()
    clock.stretch = stretch
    times = StageTimes(lambda stage: None, clock)
    times.enter("first")
    clock.s += 6
    assert times.total_s() == times.seconds_in("first") == pytest.approx(seconds)


def test_scoring_takes_time_by_rows(iris: Dataset) -> None:
    bundle = replace(random_bundle(), calibration={"n_rows": 120})
    times = timed({CALIBRATING: 12.0, "checking": 8.0})
    # 30 test rows are sampled, 120 were; few rows are predicted, so reading and writing dominate.
    assert times.scoring_seconds(bundle, iris) == pytest.approx(12.0 / 4 + 8.0)
    many = replace(iris, y_test=iris.y_test.repeat(100))
    # At most 2,000 rows are sampled, and each of the 3,000 is predicted by three networks.
    expected = 12.0 * 2_000 / 120 + 8.0 * 3_000 * 3 / (3 * 120)
    assert times.scoring_seconds(bundle, many) == pytest.approx(expected)
    assert times.scoring_seconds(bundle, replace(iris, y_test=iris.y_test[:0])) == 0.0


def test_end_exports_twice_and_scores_once() -> None:
    assert end_seconds(0, 24, 2.0, 0.0) == MARGIN * 4.0
    assert end_seconds(0, 24, 2.0, 1.0) == MARGIN * 5.0
    assert end_seconds(4, 4, 2.0, 1.0) > end_seconds(2, 4, 2.0, 1.0) > end_seconds(0, 4, 2.0, 1.0)
