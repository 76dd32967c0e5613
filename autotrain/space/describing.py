"""A space drawn as a tree, for `autotrain spaces show`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from autotrain.domains import Choices, Domain, Fixed, Value
from autotrain.space.definition import Definition, SectionSpace
from autotrain.space.forbidding import explain
from autotrain.space.values import show


class Node(NamedTuple):
    """A line of the tree and what stands below it."""

    line: str
    below: list[Node]


def describe(definition: Definition, title: str) -> str:
    """Return the tree of sections, forbids and baselines below a title.

    What is fixed at its default and belongs to one technique only is left out.
    """
    nodes = [_section_node(space) for space in definition.sections.values()]
    if definition.forbids:
        nodes.append(
            Node("forbidden", [Node(explain(forbid), []) for forbid in definition.forbids])
        )
    if definition.baselines:
        nodes.append(Node("tried first", [Node(_line(b), []) for b in definition.baselines]))
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


def _line(baseline: Mapping[str, Value]) -> str:
    return ", ".join(f"{name} = {_value_text(value)}" for name, value in baseline.items())


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
        is_telling = domain != Fixed(parameter.default)
        if is_telling or (not row and not section.rows):
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
