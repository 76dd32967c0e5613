"""One value and one domain: from what a user wrote to what is meant.

    value            Fixed: not a parameter of the study
    { choices = [] } one of these
    { low, high }    a range; also `log = true`, `step = x`

Every function reports what was expected and what came; the callers know where it stood.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from autotrain.domains import Choices, Domain, Fixed, Parameter, Range, Value
from autotrain.errors import unknown

AUTO = "auto"
MAX_STEPS = 1_000_000
# How far from a step, in steps, a value may be: Optuna adds steps in binary.
CLOSE = 1e-8
DOMAIN_KEYS = ("choices", "low", "high", "log", "step")

# (path below the parameter, such as "low" or "", what is wrong) → None
Complain = Callable[[str, str], None]


def show(value: object) -> str:
    """Write a value as a TOML file would have it, for messages and for files."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(show(item) for item in value)}]"
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {show(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    return repr(value)


def parse_value(parameter: Parameter, value: object) -> Value:
    """Return the value in the parameter's own type: 1 becomes 1.0 where reals are meant.

    Raises:
        ValueError: when the parameter cannot have this value; the message says what it can.
    """
    if not _is_finite(value) or not parameter.is_legal(value):
        raise ValueError(f"must be {parameter.explain()}, however: {show(value)}")
    if isinstance(value, list | tuple):
        return tuple(float(item) for item in value)
    if parameter.kind == "real" and isinstance(value, int | float):
        return float(value)
    if isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{parameter.kind=} has no type for {value!r}")


def _is_finite(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_finite(item) for item in value)
    try:
        return not isinstance(value, int | float) or math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def parse_domain(
    parameter: Parameter, spec: object, complain: Complain, *, may_be_auto: bool
) -> Domain | None:
    """Return the domain that `spec` describes, or None after complaining.

    A range of one number and a list of one choice are `Fixed`, so they are no parameters of the
    study. A range whose step does not reach `high` ends at its last step.
    """
    if isinstance(spec, Mapping):
        return _parse_table(parameter, spec, complain, may_be_auto=may_be_auto)
    if spec == AUTO and may_be_auto:
        return Fixed(AUTO)
    if isinstance(spec, list | tuple) and parameter.kind != "reals":
        complain(
            "",
            f"must be one value, however: {show(spec)}. "
            f"Write {{ choices = {show(spec)} }} to try each of them.",
        )
        return None
    try:
        return Fixed(parse_value(parameter, spec))
    except ValueError as error:
        hint = f', or "{AUTO}"' if may_be_auto else ""
        complain("", str(error).replace(", however:", f"{hint}, however:", 1))
        return None


def _parse_table(
    parameter: Parameter, spec: Mapping[str, object], complain: Complain, *, may_be_auto: bool
) -> Domain | None:
    known = True
    for key in spec:
        if key not in DOMAIN_KEYS:
            complain(str(key), unknown("key of a range or list", key, DOMAIN_KEYS))
            known = False
    if "choices" in spec:
        if len(spec) > 1 and known:
            others = " and ".join(str(key) for key in spec if key != "choices")
            complain("", f"must be either choices or a range, however: both choices and {others}")
            return None
        return _parse_choices(parameter, spec["choices"], complain, may_be_auto=may_be_auto)
    if parameter.kind in ("boolean", "text", "reals"):
        complain(
            "", f"must be {parameter.explain()} or {{ choices = [...] }}, however: {show(spec)}"
        )
        return None
    domain = _parse_range(parameter, spec, complain) if known else None
    return domain


def _parse_choices(
    parameter: Parameter, values: object, complain: Complain, *, may_be_auto: bool
) -> Domain | None:
    if not isinstance(values, list | tuple):
        complain("choices", f"must be a list, however: {show(values)}")
        return None
    if not values:
        complain("choices", "must name at least one value, however: []")
        return None
    parsed: list[Value] = []
    right = True
    for value in values:
        try:
            item = AUTO if value == AUTO and may_be_auto else parse_value(parameter, value)
        except ValueError as error:
            complain("choices", str(error))
            right = False
            continue
        if item in parsed:
            complain("choices", f"every value must stand once, however: {show(item)} stands twice")
            right = False
        parsed.append(item)
    if not right:
        return None
    return Fixed(parsed[0]) if len(parsed) == 1 else Choices(tuple(parsed))


def _parse_range(
    parameter: Parameter, spec: Mapping[str, object], complain: Complain
) -> Domain | None:
    right = True

    def wrong(path: str, what: str) -> None:
        nonlocal right
        right = False
        complain(path, what)

    bounds: dict[str, int | float] = {}
    for key in ("low", "high"):
        if key not in spec:
            wrong(key, "is missing; a range is { low = ..., high = ... }")
            continue
        try:
            value = parse_value(parameter, spec[key])
            if isinstance(value, str | bool | tuple):
                raise ValueError(f"must be a number, however: {show(value)}")
            bounds[key] = value
        except ValueError as error:
            wrong(key, str(error))
    log = spec.get("log", False)
    if not isinstance(log, bool):
        wrong("log", f"must be true or false, however: {show(log)}")
    step = spec.get("step")
    if step is not None:
        integer = parameter.kind == "integer"
        noun = "a whole number" if integer else "a number"
        fits = not isinstance(step, bool) and isinstance(step, int if integer else int | float)
        if not fits or not math.isfinite(step) or step <= 0:  # type: ignore[arg-type, operator]
            wrong("step", f"must be {noun} greater than 0, however: {show(step)}")
        elif log is True:
            wrong("step", "must not stand beside log = true: a log range has no steps. Drop one.")
        elif len(bounds) == 2 and (bounds["high"] - bounds["low"]) / step >= MAX_STEPS:  # type: ignore[operator]
            wrong("step", f"must leave at most {MAX_STEPS:,} values, however: {show(step)}")
    if log is True and bounds.get("low", 1) <= 0:
        wrong("low", f"must be greater than 0 when log = true, however: low = {bounds['low']!r}")
    if len(bounds) == 2 and bounds["low"] > bounds["high"]:
        wrong(
            "",
            "low must not be greater than high, however: "
            f"low = {bounds['low']!r}, high = {bounds['high']!r}. Swap them.",
        )
    if not right:
        return None
    domain = make_range(
        bounds["low"],
        bounds["high"],
        log=log is True,
        step=step if isinstance(step, int | float) else None,
        integer=parameter.kind == "integer",
    )
    if domain is None:
        wrong(
            "step",
            "must be a round number, so that low + n · step is one too, "
            f"however: low = {bounds['low']!r}, step = {step!r}. Round them, or write choices.",
        )
    return domain


def make_range(
    low: float, high: float, *, log: bool, step: float | None, integer: bool
) -> Fixed | Range | None:
    """Return the range in its one normal form: `high` is reached, no step of 1 for integers.

    None when no float is the last value exactly as written in decimals; Optuna would drop it.
    """
    if step is not None:
        # Decimals, because 0.1 + 2 · 0.1 is not 0.3 in binary.
        start, stride = Decimal(str(low)), Decimal(str(step))
        steps = (Decimal(str(high)) - start) // stride
        last = start + steps * stride
        high = int(last) if integer else float(last)
        if Decimal(str(high)) != last:
            return None
        step = None if integer and step == 1 else (step if integer else float(step))
    if low == high:
        return Fixed(low)
    return Range(low, high, log=log, step=step, integer=integer)


def contains(domain: Domain, value: Value) -> bool:
    """Tell whether a value (in its parameter's own type) lies in the domain."""
    if isinstance(domain, Fixed):
        return value == domain.value
    if isinstance(domain, Choices):
        return value in domain.values
    if isinstance(value, str | tuple):
        return False
    if domain.step is None:
        return domain.low <= value <= domain.high
    return abs(snap(domain, value) - value) <= CLOSE * domain.step


def snap(domain: Range, value: float) -> float:
    """Return the nearest value of a range with steps, as written in decimals: 0.3, not 0.1 · 3."""
    low, step = Decimal(str(domain.low)), Decimal(str(domain.step))
    n = round((min(max(value, domain.low), domain.high) - domain.low) / float(step))
    return int(low + n * step) if domain.integer else float(low + n * step)


def listed(domain: Fixed | Choices) -> tuple[Value, ...]:
    """Return the values of a domain that names them."""
    return (domain.value,) if isinstance(domain, Fixed) else domain.values


def count_values(domain: Domain) -> int | None:
    """Return how many values a domain has, None for a range of reals."""
    if not isinstance(domain, Range):
        return len(listed(domain))
    if domain.integer:
        return (int(domain.high) - int(domain.low)) // int(domain.step or 1) + 1
    if domain.step is None:
        return None
    start, stride = Decimal(str(domain.low)), Decimal(str(domain.step))
    return int((Decimal(str(domain.high)) - start) / stride) + 1


def middle(parameter: Parameter, domain: Domain) -> Value:
    """Return the value to try when nothing is said: the default if it lies in the domain.

    Otherwise the first choice, or the middle of the range (the geometric mean when `log`).
    """
    if contains(domain, parameter.default):
        return parameter.default
    if isinstance(domain, Fixed):
        return domain.value
    if isinstance(domain, Choices):
        return domain.values[0]
    if domain.log:
        center = math.exp((math.log(domain.low) + math.log(domain.high)) / 2)
        return round(center) if domain.integer else min(max(center, domain.low), domain.high)
    n = count_values(domain)
    if n is None:
        return domain.low + (domain.high - domain.low) / 2
    step = domain.step if domain.step is not None else 1
    value = Decimal(str(domain.low)) + (n - 1) // 2 * Decimal(str(step))
    return int(value) if domain.integer else float(value)


def encode(value: Value) -> bool | int | float | str:
    """Return the value as Optuna can store it: lists become JSON text."""
    return json.dumps(list(value)) if isinstance(value, tuple) else value


def decode(parameter: Parameter, value: Any) -> Any:
    """Undo `encode`, and make NumPy's numbers Python's; `parse_value` judges the result."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if parameter.kind == "reals" and isinstance(value, str):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value
