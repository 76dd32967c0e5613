"""Hypothesis strategies for legal values, configurations and spaces."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from autotrain.space.sections import MAX_LAYERS, SECTIONS, Widths
from autotrain.techniques.technique import Parameter, Value, Words

widths = st.lists(st.integers(1, 9), min_size=1, max_size=5).map(
    lambda items: "-".join(map(str, items))
)


@st.composite
def numbers(draw: st.DrawFn, parameter: Parameter) -> int | float:
    """Draw a legal number, also near the bounds."""
    if parameter.kind == "integer":
        return draw(st.integers(int(parameter.low), int(min(parameter.high, 500))))
    return draw(
        st.floats(
            max(parameter.low, -1e9),
            min(parameter.high, 1e9),
            exclude_min=parameter.open_low,
            exclude_max=parameter.open_high,
            allow_nan=False,
            allow_infinity=False,
        )
    )


@st.composite
def values(draw: st.DrawFn, parameter: Parameter) -> Value:
    if isinstance(parameter, Widths) and draw(st.booleans()):
        return draw(widths)
    if isinstance(parameter, Words):
        return draw(st.sampled_from(parameter.words))
    if parameter.kind == "boolean":
        return draw(st.booleans())
    if parameter.kind == "reals":
        # Only lists of this length match the other list of `piecewise`.
        default = parameter.default
        assert isinstance(default, tuple)
        items = draw(st.lists(numbers(parameter), min_size=len(default), max_size=len(default)))
        return tuple(float(i + n) for i, n in enumerate(sorted(items)))
    return draw(numbers(parameter))


@st.composite
def params(draw: st.DrawFn) -> dict[str, Value]:
    """Draw the flat parameters of a configuration; some are left out."""
    drawn: dict[str, Value] = {}
    for name, section in SECTIONS.items():
        row = draw(st.sampled_from([*section.rows])) if section.rows else section.default
        if section.rows:
            drawn[name] = row
        chosen: dict[str, Value] = {}
        for key, parameter in section.parameters.items():
            value = parameter.default
            if section.applies(key, row, chosen) and draw(st.booleans()):
                value = drawn[f"{name}.{key}"] = draw(values(parameter))
            chosen[key] = value
        for key, parameter in section.own_parameters(row).items():
            if draw(st.booleans()):
                drawn[f"{name}.{row}.{key}"] = draw(values(parameter))
    return drawn


@st.composite
def domains(draw: st.DrawFn, parameter: Parameter) -> Any:
    """Draw a domain in the form of space files."""
    kinds = ["value", "choices"]
    if parameter.kind in ("integer", "real"):
        kinds.append("range")
    kind = draw(st.sampled_from(kinds))
    if kind == "value":
        return draw(values(parameter))
    if kind == "choices":
        return {"choices": draw(st.lists(values(parameter), min_size=1, max_size=4, unique=True))}
    low, high = sorted(draw(st.tuples(numbers(parameter), numbers(parameter))))
    domain: dict[str, Any] = {"low": low, "high": high}
    extra = draw(st.sampled_from(["none", "log", "step"]))
    if extra == "log" and low > 0:
        domain["log"] = True
    elif extra == "step" and parameter.kind == "integer":
        domain["step"] = draw(st.integers(1, 7))
    elif extra == "step" and parameter.is_legal(0.05):
        high = draw(st.sampled_from([0.1, 0.2, 0.45, 0.5]))
        domain = {"low": 0.05, "high": high, "step": draw(st.sampled_from([0.05, 0.1, 0.2]))}
    return domain


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a space without mistakes."""
    space: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        written: dict[str, Any] = {}
        rows: list[str] = []
        if section.rows:
            rows = draw(st.lists(st.sampled_from([*section.rows]), min_size=1, unique=True))
            written["choices"] = rows
        for key, parameter in section.parameters.items():
            if draw(st.booleans()):
                written[key] = draw(domains(parameter))
        for row in rows:
            own = {
                key: draw(domains(parameter))
                for key, parameter in section.own_parameters(row).items()
                if draw(st.booleans())
            }
            if own:
                written[row] = own
        if written:
            space[name] = written
    return space


assert MAX_LAYERS >= 5
