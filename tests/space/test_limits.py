"""Whole numbers have an upper limit, so that no shape or count overflows later."""

from __future__ import annotations

import pytest

from autotrain.errors import SpaceError
from autotrain.space.config import TrialConfig
from autotrain.space.domains import Fixed, Range
from autotrain.space.search_space import SearchSpace
from autotrain.space.sections import SECTIONS
from autotrain.space.values import count_values

HUGE = (10**9 + 1, 10**12, 10**20, 10**400)


def whole_numbers() -> list[tuple[str, str, str | None]]:
    """Return section, key and technique of every whole number of a configuration."""
    found: list[tuple[str, str, str | None]] = [
        (name, key, None)
        for name, section in SECTIONS.items()
        for key, parameter in section.parameters.items()
        if parameter.kind == "integer"
    ]
    for name, section in SECTIONS.items():
        for row, technique in section.rows.items():
            own = technique.parameters.items()
            found += [(name, key, row) for key, each in own if each.kind == "integer"]
    return found


@pytest.mark.parametrize(("section", "key", "row"), whole_numbers())
def test_whole_numbers_have_an_upper_limit(section: str, key: str, row: str | None) -> None:
    for huge in HUGE:
        for value in (huge, {"low": 2, "high": huge}):
            own = {key: value} if row is None else {"choices": [row], row: {key: value}}
            with pytest.raises(SpaceError, match=rf"{key}.*at most"):
                SearchSpace({section: own})


@pytest.mark.parametrize("widths", ["65537", "64-99999999999", "8-" + "9" * 5000, "64-٣"])
def test_widths_as_text_have_the_same_limit(widths: str) -> None:
    with pytest.raises(SpaceError, match="hidden_units must be an integer of at least 1 and at"):
        SearchSpace({"network": {"hidden_units": widths}})
    assert TrialConfig.from_params({"network.hidden_units": "65536-1"}).hidden_units == (65_536, 1)


@pytest.mark.parametrize(
    ("domain", "count"),
    [
        (Range(1, 10**20, integer=True), 10**20),
        (Range(3, 11, integer=True, step=4), 3),
        (Range(3, 4, integer=True), 2),
        (Fixed(3), 1),
    ],
)
def test_values_are_counted_without_listing_them(domain: Range | Fixed, count: int) -> None:
    assert count_values(domain) == count
