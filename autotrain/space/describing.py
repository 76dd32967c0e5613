"""Draw a space as a tree, for `autotrain spaces show`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from autotrain.space.conditions import conditions_text
from autotrain.space.definition import Baseline, Block, SectionSpace, SpaceDefinition
from autotrain.space.domains import Choices, Domain, Fixed
from autotrain.space.forbidding import explain
from autotrain.space.naming import mistake
from autotrain.space.values import DOMAIN_KEYS, show
from autotrain.techniques.technique import Value


class Node(NamedTuple):
    """A line of the tree and the nodes below it."""

    line: str
    below: list[Node]


def describe(definition: SpaceDefinition, title: str) -> str:
    """Return the tree of sections, forbids, baselines and blocks below a title.

    Parameters of a single technique that are fixed at their default are left out.
    """
    nodes = [_section_node(space) for space in definition.sections.values()]
    if definition.forbids:
        nodes.append(
            Node("forbidden", [Node(explain(forbid), []) for forbid in definition.forbids])
        )
    if definition.baselines:
        nodes.append(_baselines_node(definition.baselines))
    nodes += [_block_node(block) for block in definition.blocks]
    if definition.dropped:
        below = [Node(mistake(label, reason), []) for label, reason in definition.dropped]
        nodes.append(Node("inherited, does not fit, not tried", below))
    return "\n".join([title, *_draw(nodes, "")])


def domain_text(domain: Domain) -> str:
    """Write a domain for people: `= 0.5`, `64 | 128`, `0.001 … 0.1 (log)`."""
    if isinstance(domain, Fixed):
        return f"= {_value_text(domain.value)}"
    if isinstance(domain, Choices):
        return " | ".join(_value_text(value) for value in domain.values)
    kind = "log" if domain.log else f"step {domain.step:g}" if domain.step is not None else ""
    return f"{domain.low:g} … {domain.high:g}" + (f" ({kind})" if kind else "")


def _value_text(value: Value) -> str:
    return value if isinstance(value, str) else show(value)


def _baselines_node(baselines: Sequence[Baseline]) -> Node:
    return Node("tried first", [Node(_line(baseline), []) for baseline in baselines])


def _line(baseline: Baseline) -> str:
    values = ", ".join(f"{name} = {_value_text(value)}" for name, value in baseline.values.items())
    return values + (f" (when {conditions_text(baseline.when)})" if baseline.when else "")


def _block_node(block: Block) -> Node:
    below = [_written_node(name, section) for name, section in block.sections.items()]
    if block.is_only:
        below.append(Node("nothing else tried first", []))
    if block.baselines:
        below.append(_baselines_node(block.baselines))
    return Node(f"when {conditions_text(block.when)}", below)


def _written_node(name: str, written: Mapping[str, Any]) -> Node:
    """Draw a section of a block or one technique of it; both contain only the differences."""
    line, below = name, []
    for key, value in written.items():
        if key == "choices":
            line += f" {_written_text(value[0] if len(value) == 1 else written)}"
        elif isinstance(value, Mapping) and not set(value) & set(DOMAIN_KEYS):
            below.append(_written_node(key, value))
        else:
            below.append(Node(f"{key} {_written_text(value)}", []))
    return Node(line, below)


def _written_text(written: Any) -> str:
    """Write a domain from its form in space files, like `domain_text`: `… 0.6`."""
    if not isinstance(written, Mapping):
        return f"= {_value_text(written)}"
    if "choices" in written:
        return " | ".join(_value_text(value) for value in written["choices"])
    low, high = (f"{written[key]:g}" if key in written else "" for key in ("low", "high"))
    step = f"step {written['step']:g}" if "step" in written else ""
    kind = "log" if written.get("log") else step
    return f"{low} … {high}".strip() + (f" ({kind})" if kind else "")


def _section_node(space: SectionSpace) -> Node:
    section = space.section
    line = section.name
    if space.choices:
        line += " " + domain_text(
            Fixed(space.choices[0]) if len(space.choices) == 1 else Choices(space.choices)
        )
    below: dict[str, Node] = {}
    for name, parameter, domain in space.named():
        row, _, key = name.removeprefix(f"{section.name}.").rpartition(".")
        is_shown = domain != Fixed(parameter.default)
        if is_shown or (not row and not section.rows):
            node = Node(f"{key} {domain_text(domain)}", [])
            if row:
                below.setdefault(row, Node(row, [])).below.append(node)
            else:
                below[f".{key}"] = node
    return Node(line, list(below.values()))


def _draw(nodes: list[Node], indent: str) -> Iterator[str]:
    for node in nodes:
        is_last = node is nodes[-1]
        yield f"{indent}{'└── ' if is_last else '├── '}{node.line}"
        yield from _draw(node.below, indent + ("    " if is_last else "│   "))
