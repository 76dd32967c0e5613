"""Display the progress of a running search: live in a terminal, otherwise as plain lines.

    with make_observer(metric) as observer:
        study.optimize(observer=observer)

All output goes to stderr, because stdout is for results. The live display redraws itself a few
times per second, also without new progress. In notebooks it appears in the cell.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from autotrain.metrics import Metric
from autotrain.search.progress import InTraining, Leader, Observer, Progress, Silent
from autotrain.vocabulary import count_text, duration_text, value_text

REDRAWS_PER_S = 4
LINE_EVERY_S = 10.0
MOST_BAR = 50
N_BEST, N_RUNNING = 3, 3
"""Number of the best trials, and of running trainings, that have a line."""
LEAST_HEIGHT = 16
"""Least height of a terminal that shows these lines."""
BARS = "▁▂▃▄▅▆▇█"
TREND_WIDTH = 20
"""Number of bars of the trend."""


Clock = Callable[[], float]
"""Returns seconds, as `time.monotonic`."""


def make_observer(
    metric: Metric, console: Console | None = None, clock: Clock = time.monotonic
) -> LiveDisplay | PlainLines:
    """Return the display that suits stderr; use it in a `with` statement."""
    console = Console(stderr=True) if console is None else console
    # With FORCE_COLOR, rich treats a file as a terminal, so the file is checked here.
    is_screen = console.is_jupyter or (console.file.isatty() and not console.is_dumb_terminal)
    return (LiveDisplay if is_screen else PlainLines)(metric, console, clock)


def display_of(
    observer: Observer | None, metric: Metric, *, quiet: bool
) -> contextlib.AbstractContextManager[Observer]:
    """Return a context manager of an observer: the given one, none, or the display for stderr."""
    if observer is None and not quiet:
        return make_observer(metric)
    return contextlib.nullcontext(Silent() if observer is None else observer)


def messages_of(observer: Observer | None, *, quiet: bool) -> Callable[[str], None]:
    """Return a function that shows a text before a run: to the observer, or on stderr."""

    def show(text: str) -> None:
        if observer is not None:
            observer.update(Progress(stage=text))
        elif text and not quiet:
            print(text, file=sys.stderr, flush=True)

    return show


class LiveDisplay:
    """Lines that are redrawn: a progress bar, the trials, the best ones, and those in training.

    A terminal with few lines has the first four only.
    """

    def __init__(self, metric: Metric, console: Console, clock: Clock = time.monotonic) -> None:
        self.metric = metric
        self.clock = clock
        self.progress = Progress()
        self._seen_s = clock()
        self._has_ended = False
        self._live = Live(
            self,
            console=console,
            refresh_per_second=REDRAWS_PER_S,
            # Stdout contains results, which must not be redirected to stderr.
            redirect_stdout=False,
        )

    def __enter__(self) -> Self:
        self._seen_s = self.clock()
        self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._has_ended = True
        self._live.stop()

    def update(self, progress: Progress) -> None:
        """Store the progress; the display redraws itself."""
        self._seen_s = self.clock()
        self.progress = progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw a constant number of lines, so that the display does not jump."""
        progress = self.progress
        waited_s = 0.0 if self._has_ended else self.clock() - self._seen_s
        times = time_words(progress, waited_s, self._has_ended)
        share = share_done(progress, waited_s)
        # Without a budget the bar pulses.
        bar = ProgressBar(
            total=None if share is None else 1.0,
            completed=share or 0.0,
            width=max(min(options.max_width - len(times) - 2, MOST_BAR), 10),
        )
        top = Table.grid(padding=(0, 2, 0, 0))
        top.add_row(bar, Text(times, style="cyan", no_wrap=True, overflow="ellipsis"))
        yield top
        if progress == Progress() and not self._has_ended:
            yield _line("trials", "the workers are starting")
        else:
            yield _line("trials", " · ".join(trial_words(progress)))
        score, words = best_words(progress, self.metric)
        trend = trend_bars(progress.trend, self.metric)
        yield _line("best", f"{score}  {trend}" if trend else score)
        if console.height < LEAST_HEIGHT:
            yield _line("", words)
            return
        causes = sorted(progress.causes.items(), key=lambda item: -item[1])
        yield from _list("ended", [" · ".join(f"{name} {n:,}" for name, n in causes)], 1)
        rows = [leader_words(leader) for leader in progress.leaders[:N_BEST]]
        yield from _list("top", rows, N_BEST)
        rows = [] if self._has_ended else training_rows(progress, N_RUNNING)
        yield from _list("running", rows, N_RUNNING)


class PlainLines:
    """One line for every new best trial and every final stage, and about every ten seconds."""

    def __init__(self, metric: Metric, console: Console, clock: Clock = time.monotonic) -> None:
        self.metric = metric
        self.clock = clock
        self.file = console.file
        self._best: tuple[int | None, float | None] | None = None
        self._written_s = self.clock()
        self._last: Progress | None = None
        self._stage = ""

    def __enter__(self) -> Self:
        self._written_s = self.clock()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._last is not None:
            self._write_state(self._last, has_ended=True)

    def update(self, progress: Progress) -> None:
        """Write a line if there is news, or ten seconds have passed."""
        now_s = self.clock()
        best = (progress.best_number, progress.best_value)
        if progress.best_value is not None and best != self._best:
            self._best = best
            score, words = best_words(progress, self.metric)
            self._write(progress, f"best {score}: {words}")
        if progress.stage and progress.stage != self._stage:
            self._write(progress, progress.stage)
        elif now_s - self._written_s >= LINE_EVERY_S:
            self._written_s = now_s
            self._write_state(progress)
        self._last, self._stage = progress, progress.stage

    def _write_state(self, progress: Progress, *, has_ended: bool = False) -> None:
        words = ["trials: " + ", ".join(trial_words(progress))]
        if not has_ended and progress.left_s is not None and not progress.stage:
            words.append(f"about {duration_text(progress.left_s)} left")
        self._write(progress, ", ".join(words))

    def _write(self, progress: Progress, text: str) -> None:
        # A single call keeps lines of several processes separate.
        self.file.write(f"[{duration_text(progress.elapsed_s):>12}] {text}\n")
        self.file.flush()


def share_done(progress: Progress, waited_s: float = 0.0) -> float | None:
    """Return the used fraction of the trials or time, the larger one; None without a budget."""
    shares = []
    if progress.n_trials:
        shares.append(progress.n_done / progress.n_trials)
    if progress.timeout_s is not None:
        elapsed_s = progress.elapsed_s + waited_s
        shares.append(elapsed_s / progress.timeout_s if progress.timeout_s > 0 else 1.0)
    return min(max(shares), 1.0) if shares else None


def trial_words(progress: Progress) -> list[str]:
    """Return the study's trials by state, and the number of trials per minute, as texts."""
    n_ended = progress.n_complete + progress.n_pruned + progress.n_failed
    total = ""
    if progress.n_trials is not None:
        total = f" of {n_ended - progress.n_done + progress.n_trials:,}"
    # In a finite space the number of configurations limits the trials. For a single requested
    # configuration this is not worth mentioning.
    is_limited = progress.is_whole_space and progress.n_trials != 1
    words = [
        f"{n_ended:,}{total} done" + (" (the whole space)" if is_limited else ""),
        f"{progress.n_running:,} running",
        f"{progress.n_pruned:,} pruned",
        f"{progress.n_failed:,} failed",
    ]
    if progress.n_repeats:
        words.append(f"{count_text(progress.n_repeats, 'repeat')} of the best")
    if progress.trials_per_minute is not None:
        words.append(f"{progress.trials_per_minute:,.0f} per minute")
    return words


def best_words(progress: Progress, metric: Metric) -> tuple[str, str]:
    """Return the best score with its trial, and a summary of the trial's configuration."""
    if progress.best_value is None:
        return "no complete trial yet", ""
    number = "" if progress.best_number is None else f" (trial {progress.best_number})"
    return f"{metric.name} {value_text(progress.best_value)}{number}", progress.best_summary


def trend_bars(trend: Sequence[float], metric: Metric) -> str:
    """Return the best values over time as bars; a lower bar is a better value.

    Args:
        trend: the best value after each complete trial.
        metric: the metric; higher values of some are better.
    Examples:
        >>> from autotrain.metrics import METRICS
        >>> trend_bars([0.9, 0.5, 0.5, 0.1], METRICS["log_loss"])
        '█▅▅▁'
    """
    values = [metric.sign * value for value in trend]
    if len(values) < 2 or values[0] == values[-1]:
        return ""
    n = min(len(values), TREND_WIDTH)
    places = [round(place * (len(values) - 1) / (n - 1)) for place in range(n)]
    low, high = values[-1], values[0]
    steps = [(values[place] - low) / (high - low) * (len(BARS) - 1) for place in places]
    return "".join(BARS[round(step)] for step in steps)


def leader_words(leader: Leader) -> str:
    """Return a complete trial in one line."""
    return f"{value_text(leader.value)}  trial {leader.number}  {leader.words}"


def training_rows(progress: Progress, n: int) -> list[str]:
    """Return the trainings that run for the longest time, one line each.

    Args:
        n: number of lines; the last one counts the others if there are more.
    """
    rows = [_training_words(run) for run in progress.in_training[:n]]
    if progress.n_running > n:
        rows[-1:] = [f"and {progress.n_running - n + 1:,} more"]
    return rows


def _training_words(run: InTraining) -> str:
    what = f"trial {run.number}" + (f", repeat {run.repeat}" if run.repeat else "")
    value = "" if run.value is None else f"  {value_text(run.value)}"
    return f"{what}  epoch {run.epoch} of {run.most_epochs}{value}  {run.words}"


def time_words(progress: Progress, waited_s: float, has_ended: bool) -> str:
    """Return the elapsed time and, during a run, the stage or the remaining time and its use."""
    used = duration_text(progress.elapsed_s + waited_s)
    if has_ended:
        return used
    if progress.stage:
        return f"{used}, {progress.stage}"
    left_s = progress.left_s
    purpose = f" for {progress.purpose}" if progress.purpose else ""
    if left_s is None:
        return used
    left_s -= waited_s
    if left_s < 1:
        return f"{used}, ending"
    return f"{used}, about {duration_text(round(left_s))} left{purpose}"


def _list(label: str, rows: Sequence[str], n: int) -> Iterator[Text]:
    """Yield `n` lines, of which the first one has a label; empty ones without rows."""
    for place in range(n):
        row = rows[place] if place < len(rows) else ""
        yield _line(label if row and not place else "", row)


def _line(label: str, text: str) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{label:<8}", style="bold")
    line.append(text)
    return line
