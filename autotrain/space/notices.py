"""Notices about a space: what is allowed and works, but may not be what its author wants.

Mistakes are `checking.py`'s business. To add a notice: a function of (definition, forbids) that
returns a sentence or None, in `NOTICES`.
"""

from __future__ import annotations

from collections.abc import Callable

from autotrain.space.definition import Definition
from autotrain.space.forbidding import Forbids
from autotrain.space.values import contains
from autotrain.techniques.embeddings import EMBEDDINGS
from autotrain.techniques.scalers import SCALERS
from autotrain.vocabulary import count_text

Notice = Callable[[Definition, Forbids], str | None]


def may_lack_dropout(definition: Definition) -> bool:
    """Tell whether some networks drop nothing, and so could not estimate their uncertainty."""
    dropout, network = definition.sections["dropout"], definition.sections["network"]
    may_be_linear = contains(network.domain(network.section.default, "hidden_layers")[1], 0)

    def may_be_0(row: str, key: str) -> bool:
        return contains(dropout.domain(row, key)[1], 0.0)

    return any(
        row == "none" or (may_be_0(row, "input_rate") and (may_be_linear or may_be_0(row, "rate")))
        for row in dropout.row_names
    )


def _lacks_dropout(definition: Definition, forbids: Forbids) -> str | None:
    if not may_lack_dropout(definition):
        return None
    if not any(section.is_searched for section in definition.sections.values()):
        return "this network has no dropout, so it cannot estimate its uncertainty"
    return (
        "some networks of this space have no dropout; should one of them win, it cannot say how "
        "sure it is. A [dropout] rate above 0 in all of them would keep that."
    )


def _raw_without_norm(definition: Definition, forbids: Forbids) -> str | None:
    """Find raw numbers that no batch norm brings to one scale.

    An embedding with bins has its own scale: its bins follow the column.
    """
    sections = definition.sections
    raw = [row for row in sections["scaler"].row_names if SCALERS[row].is_raw]
    free = [row for row in sections["embedding"].row_names if not EMBEDDINGS[row].bins]
    if not contains(sections["batch_norm"].parameters["input"], False) or not any(
        forbids.can_complete({"scaler": row, "embedding": embedding, "batch_norm.input": False})
        for row in raw
        for embedding in free
    ):
        return None
    return (
        'some networks of this space read raw numbers (scaler = "none") without a batch norm on '
        "the inputs; columns of large numbers then dominate the others and training may diverge. "
        "Set [batch_norm] input = true, or forbid the combination."
    )


def _baselines_that_do_not_fit(definition: Definition, forbids: Forbids) -> str | None:
    if not definition.dropped:
        return None
    count = count_text(len(definition.dropped), "baseline")
    label, reason = definition.dropped[0]
    return (
        f"{count} of the space it extends {'does' if len(definition.dropped) == 1 else 'do'} not "
        f"fit this space and will not be tried; the first, {label}: {reason}"
    )


NOTICES: tuple[Notice, ...] = (_lacks_dropout, _raw_without_norm, _baselines_that_do_not_fit)


def notices_of(definition: Definition, forbids: Forbids) -> list[str]:
    """Return all notices about a space, one sentence or two each."""
    found = (notice(definition, forbids) for notice in NOTICES)
    return [notice for notice in found if notice is not None]
