"""Parse single values and domains.

    value                 Fixed: not a parameter of the study
    { choices = [...] }   Choices
    { low, high }         Range; also `log = true`, `step = x`

Mistakes are predicates such as "must be a number, got true."; the callers add the place.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from autotrain.errors import unknown
from autotrain.space.domains import Choices, Domain, Fixed, Range
from autotrain.techniques.technique import Parameter, Value

AUTO = "auto"
MAX_STEPS = 1_000_000
# Largest distance of a value from a step, in steps: Optuna adds steps in binary.
CLOSE = 1e-8
DOMAIN_KEYS = ("choices", "low", "high", "log", "step")

# (path below the parameter, such as "low" or "", mistake) → None
Complain = Callable[[str, str], None]


def show(value: object) -> str:
    """Write a value as in TOML, for messages and files."""
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
    """Return a value in the type of its parameter: 1 becomes 1.0 for a real parameter.

    Raises:
        ValueError: when the value is illegal; the message names the legal values.
    """
    if not _is_finite(value) or not parameter.is_legal(value):
        raise ValueError(f"must be {parameter.explain()}, got {show(value)}.")
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
    except OverflowError:  # an integer beyond all floats
        return False


def parse_domain(
    parameter: Parameter, spec: object, complain: Complain, *, may_be_auto: bool
) -> Domain | None:
    """Return the domain that `spec` describes; report mistakes and return None when it is wrong.

    A range of one number and a list of one choice become `Fixed` and are not parameters of the
    study. A range whose step does not reach `high` ends at its last step.
    """
    if isinstance(spec, Mapping):
        return _parse_table(parameter, spec, complain, may_be_auto=may_be_auto)
    if spec == AUTO and may_be_auto:
        return Fixed(AUTO)
    if isinstance(spec, list | tuple) and parameter.kind != "reals":
        complain(
            "",
            f"must be one value, got {show(spec)}. "
            f"Write {{ choices = {show(spec)} }} to try each of them.",
        )
        return None
    try:
        return Fixed(parse_value(parameter, spec))
    except ValueError as error:
        hint = f', or "{AUTO}"' if may_be_auto else ""
        complain("", str(error).replace(", got ", f"{hint}, got ", 1))
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
            complain("", f"must be either choices or a range, got choices and {others}.")
            return None
        return _parse_choices(parameter, spec["choices"], complain, may_be_auto=may_be_auto)
    if parameter.kind in ("boolean", "text", "reals"):
        complain("", f"must be {parameter.explain()} or {{ choices = [...] }}, got {show(spec)}.")
        return None
    domain = _parse_range(parameter, spec, complain) if known else None
    return domain


def _parse_choices(
    parameter: Parameter, values: object, complain: Complain, *, may_be_auto: bool
) -> Domain | None:
    if not isinstance(values, list | tuple):
        complain("choices", f"must be a list, got {show(values)}.")
        return None
    if not values:
        complain("choices", "must contain at least one value, got [].")
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
            complain("choices", f"must contain every value once, got {show(item)} twice.")
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
            wrong(key, "is missing. A range is { low = ..., high = ... }.")
            continue
        try:
            value = parse_value(parameter, spec[key])
            if isinstance(value, str | bool | tuple):
                raise ValueError(f"must be a number, got {show(value)}.")
            bounds[key] = value
        except ValueError as error:
            wrong(key, str(error))
    log = spec.get("log", False)
    if not isinstance(log, bool):
        wrong("log", f"must be true or false, got {show(log)}.")
    step = spec.get("step")
    if step is not None:
        integer = parameter.kind == "integer"
        noun = "an integer" if integer else "a number"
        fits = not isinstance(step, bool) and isinstance(step, int if integer else int | float)
        if not fits or not math.isfinite(step) or step <= 0:  # type: ignore[arg-type, operator]
            wrong("step", f"must be {noun} greater than 0, got {show(step)}.")
        elif log is True:
            wrong("step", "must not be combined with log = true. Remove one.")
        elif len(bounds) == 2 and (bounds["high"] - bounds["low"]) / step >= MAX_STEPS:  # type: ignore[operator]
            wrong("step", f"must give at most {MAX_STEPS:,} values, got {show(step)}.")
    if log is True and bounds.get("low", 1) <= 0:
        wrong("low", f"must be greater than 0 when log = true, got {bounds['low']!r}.")
    if len(bounds) == 2 and bounds["low"] > bounds["high"]:
        wrong(
            "",
            "must have low at most high, got "
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
            "must have few digits, so that low + n · step has a finite decimal form, "
            f"got low = {bounds['low']!r}, step = {step!r}. Round them, or write choices.",
        )
    return domain


def make_range(
    low: float, high: float, *, log: bool, step: float | None, integer: bool
) -> Fixed | Range | None:
    """Return a range in normal form: `high` is reached, and integers have no step of 1.

    Returns: None when no float equals the last value in decimals; Optuna would drop that value.
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
    """Whether a value, in the type of its parameter, is in the domain."""
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
    """Return the nearest value of a range with steps, in decimals: 0.3, not 0.1 · 3."""
    low, step = Decimal(str(domain.low)), Decimal(str(domain.step))
    n = round((min(max(value, domain.low), domain.high) - domain.low) / float(step))
    return int(low + n * step) if domain.integer else float(low + n * step)


def listed(domain: Fixed | Choices) -> tuple[Value, ...]:
    """Return the values of a fixed value or of choices."""
    return (domain.value,) if isinstance(domain, Fixed) else domain.values


def count_values(domain: Domain) -> int | None:
    """Return the number of values of a domain; None for a continuous range."""
    if not isinstance(domain, Range):
        return len(listed(domain))
    if domain.integer:
        return (int(domain.high) - int(domain.low)) // int(domain.step or 1) + 1
    if domain.step is None:
        return None
    start, stride = Decimal(str(domain.low)), Decimal(str(domain.step))
    return int((Decimal(str(domain.high)) - start) / stride) + 1


def middle(parameter: Parameter, domain: Domain) -> Value:
    """Return the value of a parameter that a baseline does not name.

    It is the default if the domain contains it, otherwise the first choice or the middle of the
    range (the geometric mean with `log`).
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
    """Return a value as Optuna stores it: lists become JSON text."""
    return json.dumps(list(value)) if isinstance(value, tuple) else value


def decode(parameter: Parameter, value: Any) -> Any:
    """Undo `encode` and convert NumPy's numbers to Python's; `parse_value` checks the result."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if parameter.kind == "reals" and isinstance(value, str):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value
