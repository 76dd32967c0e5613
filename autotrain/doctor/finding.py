"""`Finding`: the result of one check, and `settled`, which makes its repair."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from autotrain.errors import AutotrainError

Repair = Callable[[], str]
"""Makes a repair and returns a sentence about it; raises AutotrainError, OSError or
RuntimeError if it fails."""


class Severity(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARNING = "warning"
    """It works, but is slower than necessary, uses space, or may fail later."""
    PROBLEM = "problem"
    """Something is missing, damaged or left open."""
    REPAIRED = "repaired"
    """It was a warning or a problem until the repair."""


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Args:
        group: "environment", "storage", "study" or "studies".
        name: the subject, in one word.
        state: how serious it is.
        text: one or two sentences on what was found.
        fix: what to do; empty for the states ok and repaired.
        repair: makes the fix; None when it is not safe, or not in the power of this program.
    """

    group: str
    name: str
    state: Severity
    text: str
    fix: str = ""
    repair: Repair | None = field(default=None, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON values; `repairable` in place of the repair."""
        return {
            "group": self.group,
            "name": self.name,
            "state": str(self.state),
            "text": self.text,
            "fix": self.fix or None,
            "repairable": self.repair is not None,
        }


def settled(finding: Finding, *, fix: bool) -> Finding:
    """Return a finding after its repair.

    Args:
        fix: False returns the finding unchanged.
    """
    if not fix or finding.repair is None:
        return finding
    try:
        done = finding.repair()
    except (AutotrainError, OSError, RuntimeError) as error:
        text = f"{finding.text} Not repaired: {str(error).rstrip('.')}."
        return replace(finding, text=text, repair=None)
    return replace(finding, state=Severity.REPAIRED, text=f"{finding.text} {done}", fix="")


def count_of(findings: Iterable[Finding], state: Severity) -> int:
    """Return the number of findings in a state.

    Examples:
        >>> count_of([Finding("study", "best", Severity.OK, "It can be read.")], Severity.OK)
        1
    """
    return sum(finding.state == state for finding in findings)
