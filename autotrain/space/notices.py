"""Notices about a space that is legal but probably not intended.

`checking.py` reports mistakes. To add a notice, add a function of (definition, forbids) that
returns a sentence or None to `NOTICES`.
"""

from __future__ import annotations

from collections.abc import Callable

from autotrain.space.definition import SpaceDefinition
from autotrain.space.forbidding import Forbids
from autotrain.space.naming import mistake
from autotrain.space.values import contains
from autotrain.techniques.embeddings import EMBEDDINGS
from autotrain.techniques.scalers import SCALERS
from autotrain.vocabulary import count_text

Notice = Callable[[SpaceDefinition, Forbids], str | None]


def may_lack_dropout(definition: SpaceDefinition) -> bool:
    """Whether some networks have no dropout, so that they cannot estimate their uncertainty."""
    dropout, network = definition.sections["dropout"], definition.sections["network"]
    may_be_linear = contains(network.domain(network.section.default, "hidden_layers")[1], 0)

    def may_be_0(row: str, key: str) -> bool:
        return contains(dropout.domain(row, key)[1], 0.0)

    return any(
        row == "none" or (may_be_0(row, "input_rate") and (may_be_linear or may_be_0(row, "rate")))
        for row in dropout.row_names
    )


def _lacks_dropout(definition: SpaceDefinition, forbids: Forbids) -> str | None:
    if not may_lack_dropout(definition):
        return None
    if not any(section.is_searched for section in definition.sections.values()):
        return "this network has no dropout, so it cannot estimate its uncertainty"
    return (
        "some networks of this space have no dropout; if one of them wins, it cannot estimate its "
        "uncertainty. Set the [dropout] rate above 0 to prevent this."
    )


def _raw_without_norm(definition: SpaceDefinition, forbids: Forbids) -> str | None:
    """Report raw numbers without a batch norm that would scale them.

    An embedding with bins needs no scaling, because its bins are fitted to the column.
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


def _baselines_that_do_not_fit(definition: SpaceDefinition, forbids: Forbids) -> str | None:
    if not definition.dropped:
        return None
    count = count_text(len(definition.dropped), "baseline")
    label, reason = definition.dropped[0]
    return (
        f"{count} of the extended space {'does' if len(definition.dropped) == 1 else 'do'} not fit "
        f"this space and will not be tried. The first: {mistake(label, reason)}"
    )


NOTICES: tuple[Notice, ...] = (_lacks_dropout, _raw_without_norm, _baselines_that_do_not_fit)


def notices_of(definition: SpaceDefinition, forbids: Forbids) -> list[str]:
    """Return all notices about a space, each one or two sentences."""
    found = (notice(definition, forbids) for notice in NOTICES)
    return [notice for notice in found if notice is not None]
