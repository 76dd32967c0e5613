"""The clock of a run: how long it may train, what of that is kept for its end, what it has used."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

FINALS_SHARE = 0.2
"""The last part of a budget of time, in which repeats of the best trials go before new trials."""
ROUNDS = 2.0
"""Length of that part, in runtimes of the best trial, because a worker must become free first."""
MOST_FINALS_SHARE = 0.4
"""Upper limit of that part, as a share of the budget."""
MOST_RESERVED = 0.25
"""At most this share of the time is kept for choosing and exporting an ensemble."""


class RunClock:
    """Counts from when it is made, as the first training begins.

    Args:
        limit_s: seconds of this run; None for no limit.
        whole_s: the budget of which `limit_s` is what an earlier run left; 0 for a budget of its
            own.
        now: tells the time in seconds.
    """

    def __init__(
        self,
        limit_s: float | None = None,
        *,
        whole_s: float = 0.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit_s = limit_s
        self.whole_s = whole_s
        self.now = now
        self.begun_s = now()
        self.reserved_s = 0.0

    def reserve(self, seconds: float) -> None:
        """Keep so much of the time, but not too large a share, for what follows training.

        Where time is no limit nothing is kept. In a short search training comes first.
        """
        if self.limit_s is not None:
            self.reserved_s = min(seconds, MOST_RESERVED * self.limit_s)

    @property
    def elapsed_s(self) -> float:
        """Seconds since it was made."""
        return self.now() - self.begun_s

    @property
    def end_s(self) -> float:
        """When training ends, in seconds from the beginning; infinite when time is no limit."""
        return math.inf if self.limit_s is None else max(self.limit_s - self.reserved_s, 0.0)

    @property
    def left_s(self) -> float:
        """Seconds of training left; below 0 when it is late."""
        return self.end_s - self.elapsed_s

    @property
    def is_late(self) -> bool:
        """Whether the time for training is over."""
        return self.left_s <= 0

    def is_for_finals(self, repeat_s: float) -> bool:
        """Return True in the last part of the budget, in which finals go first.

        Args:
            repeat_s: how long the best trial trained.
        """
        if self.limit_s is None:
            return False
        whole_s = max(self.end_s, self.whole_s - self.reserved_s)
        finals_s = max(FINALS_SHARE * whole_s, min(ROUNDS * repeat_s, MOST_FINALS_SHARE * whole_s))
        return 0 < self.left_s <= finals_s
