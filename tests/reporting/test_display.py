"""The live display and the plain lines: their text, and that the terminal is restored."""

from __future__ import annotations

import io
import itertools
from contextlib import nullcontext
from dataclasses import replace

import pytest
from rich.console import Console

from autotrain.metrics import METRICS
from autotrain.reporting.display import (
    LiveDisplay,
    PlainLines,
    make_observer,
    messages_of,
    share_done,
    trend_bars,
)
from autotrain.search.progress import InTraining, Leader, Progress

METRIC = METRICS["log_loss"]
HALFWAY = Progress(
    n_complete=7,
    n_pruned=30,
    n_failed=1,
    n_running=8,
    n_done=20,
    n_trials=40,
    timeout_s=60.0,
    best_value=0.06123,
    best_number=17,
    best_summary="128-128-128 elu adam 0.0071 batch norm dropout 0.12 " + "performance " * 5,
    elapsed_s=15.0,
)


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def screen(width: int = 80, height: int = 24) -> Console:
    file = Terminal()
    return Console(file=file, width=width, height=height, force_terminal=True, color_system=None)


class Clock:
    """A clock that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def drawn(
    progress: Progress | None, width: int = 80, height: int = 24, *, has_ended: bool = False
) -> list[str]:
    """Return the lines of the live display."""
    console = screen(width, height)
    live = LiveDisplay(METRIC, console, Clock())
    if progress is not None:
        live.update(progress)
    if has_ended:
        live.__exit__(None, None, None)
    with console.capture() as capture:
        console.print(live)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_kind_of_output_selects_the_display() -> None:
    assert isinstance(make_observer(METRIC, screen()), LiveDisplay)
    plain = Console(file=io.StringIO(), force_terminal=True)  # as under FORCE_COLOR=1
    assert isinstance(make_observer(METRIC, plain), PlainLines)
    notebook = Console(file=io.StringIO(), force_jupyter=True)
    assert isinstance(make_observer(METRIC, notebook), LiveDisplay)
    assert make_observer(METRIC, screen()).metric is METRIC


def test_live_display_has_progress_trials_and_best_score() -> None:
    bar, trials, best, words = drawn(HALFWAY, height=15)
    assert bar.endswith("15 s, about 15 s left")  # 20 more trials at this rate
    assert trials == ("trials  38 of 58 done · 8 running · 30 pruned · 1 failed · 80 per minute")
    assert best == "best    log_loss 0.0612 (trial 17)"
    assert words.startswith("        128-128-128 elu adam 0.0071")
    assert words.endswith("…")


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize(
    "progress",
    [None, HALFWAY, Progress(), replace(HALFWAY, timeout_s=None, n_trials=None, best_value=None)],
)
def test_live_display_always_has_lines_that_fit(width: int, progress: Progress | None) -> None:
    for height, n_lines in {15: 4, 16: 10, 40: 10}.items():
        lines = drawn(progress, width, height)
        assert len(lines) == n_lines
        assert max(map(len, lines)) <= width


def test_live_display_has_the_best_trials_and_those_in_training() -> None:
    leaders = (Leader(0.0612, 17, "128-128 elu"), Leader(0.07, 3, "64 relu"))
    training = (
        InTraining(40, 0, 12, 100, 0.0891, "64-64 relu"),
        InTraining(17, 2, 0, 200, None, "128-128 elu"),
        InTraining(41, 0, 1, 50, 0.3, "8 selu"),
        InTraining(42, 0, 1, 50, 0.4, "9 selu"),
    )
    progress = replace(
        HALFWAY,
        leaders=leaders,
        trend=(0.9, 0.5, 0.5, 0.1),
        causes={"diverged": 1, "plateau": 30},
        in_training=training,
        purpose="new trials",
    )
    bar, _, best, ended, *rows = drawn(progress, 140)
    assert bar.endswith("15 s, about 15 s left for new trials")
    assert best == "best    log_loss 0.0612 (trial 17)  █▅▅▁"
    assert ended == "ended   plateau 30 · diverged 1"
    assert rows == [
        "top     0.0612  trial 17  128-128 elu",
        "        0.0700  trial 3  64 relu",
        "",
        "running trial 40  epoch 12 of 100  0.0891  64-64 relu",
        "        trial 17, repeat 2  epoch 0 of 200  128-128 elu",
        "        and 6 more",
    ]
    assert drawn(replace(progress, n_running=3), 140)[-1].startswith("        trial 41  epoch 1 of")
    assert drawn(progress, 140, has_ended=True)[-3:] == ["", "", ""]


def test_trend_of_a_score_rises_to_low_bars() -> None:
    assert trend_bars([0.5, 0.75, 1.0], METRICS["accuracy"]) == "█▅▁"
    assert trend_bars([0.5], METRIC) == trend_bars([0.5, 0.5], METRIC) == ""
    assert len(trend_bars([1 / (n + 1) for n in range(100)], METRIC)) == 20


def test_time_advances_without_updates() -> None:
    console, clock = screen(), Clock()
    live = LiveDisplay(METRIC, console, clock)
    live.update(replace(HALFWAY, n_trials=None))
    clock.now += 21
    with console.capture() as capture:
        console.print(live)
    assert "36 s, about 24 s left" in capture.get()
    assert drawn(HALFWAY, has_ended=True)[0].endswith("  15 s")


def test_display_names_the_stage_after_the_last_training() -> None:
    ended = replace(HALFWAY, elapsed_s=60.0, stage="calibrating")
    top = drawn(ended)[0]
    assert top.endswith("1 min, calibrating")
    assert "left" not in top
    assert drawn(ended, has_ended=True)[0].endswith("1 min")

    console, clock = Console(file=io.StringIO()), Clock()
    with make_observer(METRIC, console, clock) as lines:
        for stage in ("", "calibrating", "calibrating", "checking"):
            clock.now += 20
            lines.update(replace(ended, stage=stage, best_value=None))
    assert isinstance(console.file, io.StringIO)
    written = [line[15:] for line in console.file.getvalue().splitlines()]
    assert [words for words in written if not words.startswith("trials")] == [
        "calibrating",
        "checking",
    ]
    assert all("left" not in words for words in written[1:])


def test_one_trial_gives_no_rate_and_no_remaining_time() -> None:
    one = replace(HALFWAY, n_done=1, timeout_s=None)
    assert one.trials_per_minute is None
    assert one.left_s is None
    assert "per minute" not in drawn(one)[1]
    two = replace(one, n_done=2)
    assert two.trials_per_minute == 8
    assert two.left_s == 15.0 / 2 * 38


def test_workers_are_starting_before_the_first_update() -> None:
    assert drawn(None)[1] == "trials  the workers are starting"
    assert drawn(replace(Progress(), elapsed_s=1.0))[1].startswith("trials  0 done · 0 running")


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_terminal_is_restored(error: type[BaseException] | None) -> None:
    console = screen()
    with (
        pytest.raises(KeyboardInterrupt) if error else nullcontext(),
        make_observer(METRIC, console) as live,
    ):
        live.update(HALFWAY)
        if error is not None:
            raise error
    assert isinstance(console.file, Terminal)
    text = console.file.getvalue()
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor hidden, shown
    assert text.endswith("\x1b[?25h")
    assert "38 of 58 done" in text  # the last state remains


def test_plain_lines_for_each_best_and_every_ten_seconds() -> None:
    console, clock = Console(file=io.StringIO()), Clock()
    with make_observer(METRIC, console, clock) as lines:
        first = replace(HALFWAY, best_value=None, best_number=None, elapsed_s=0.0, n_done=0)
        values = itertools.chain([None, None, 0.5], itertools.repeat(0.25))
        for second, value in zip(range(26), values, strict=False):
            clock.now = 1000.0 + second
            number = None if value is None else int(value * 100)
            lines.update(
                replace(
                    first,
                    elapsed_s=float(second),
                    best_value=value,
                    best_number=number,
                    best_summary="words",
                    n_trials=None,
                )
            )
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "[         2 s] best log_loss 0.5000 (trial 50): words",
        "[         3 s] best log_loss 0.2500 (trial 25): words",
        "[        10 s] trials: 38 done, 8 running, 30 pruned, 1 failed, about 50 s left",
        "[        20 s] trials: 38 done, 8 running, 30 pruned, 1 failed, about 40 s left",
        "[        25 s] trials: 38 done, 8 running, 30 pruned, 1 failed",
    ]


def test_bar_follows_the_budget_that_ends_first() -> None:
    assert share_done(Progress()) is None
    assert share_done(HALFWAY) == 0.5
    assert share_done(replace(HALFWAY, elapsed_s=45.0)) == 0.75
    assert share_done(replace(HALFWAY, elapsed_s=45.0), 30.0) == 1.0
    assert share_done(replace(HALFWAY, timeout_s=0.0)) == 1.0


def test_messages_before_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    stages: list[str] = []

    class Seen:
        def update(self, progress: Progress) -> None:
            stages.append(progress.stage)

    for observer, quiet in ((Seen(), True), (None, True), (None, False)):
        show = messages_of(observer, quiet=quiet)
        show("the server is not reachable")
        show("")
    assert stages == ["the server is not reachable", ""]
    assert capsys.readouterr().err == "the server is not reachable\n"
