"""Notices about a space appear exactly where they are true."""

from __future__ import annotations

from typing import Any

import pytest

from autotrain.space.search_space import SearchSpace

BOTH = {"choices": ["standard", "none"]}
EITHER = {"choices": [False, True]}
PAIR = [{"scaler": "none", "batch_norm": {"input": False}}]


@pytest.mark.parametrize(
    ("described", "is_raised"),
    [
        ({}, False),
        ({"scaler": "none"}, True),
        ({"scaler": BOTH}, True),
        ({"scaler": BOTH, "batch_norm": {"input": EITHER}}, True),
        ({"scaler": BOTH, "batch_norm": {"input": EITHER}, "forbid": PAIR}, False),
        ({"scaler": BOTH, "batch_norm": {"input": True}}, False),
        ({"scaler": BOTH, "batch_norm": {"choice": "before_activation"}}, True),
        # Bins are fitted to the scale of the column; frequencies are not.
        ({"scaler": "none", "embedding": "piecewise_linear"}, False),
        ({"scaler": "none", "embedding": {"choices": ["piecewise_linear", "pbld"]}}, True),
    ],
)
def test_raw_numbers_without_a_batch_norm(described: dict[str, Any], is_raised: bool) -> None:
    space = SearchSpace(described)
    assert len(space.notices) == is_raised
    assert len(space.resolve(500, 9, "binary").notices) == is_raised
    # Pixels and texts are never raw numbers.
    assert not space.resolve(500, 9, "binary", n_numbers=0).notices


def test_networks_without_dropout() -> None:
    assert len(SearchSpace({"dropout": "none"}).notices) == 1
    assert len(SearchSpace({"dropout": "none", "scaler": "none"}).notices) == 2
