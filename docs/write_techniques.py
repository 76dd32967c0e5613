"""Write docs/techniques.md from the tables: `python docs/write_techniques.py`.

A test compares the page with what this makes, so it cannot fall behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from autotrain.domains import Parameter
from autotrain.space.auto import AUTO_VALUES
from autotrain.space.sections import SECTIONS
from autotrain.space.values import show

PAGE = Path(__file__).with_name("techniques.md")


def page() -> str:
    """Return the page as Markdown."""
    lines = [
        "# Techniques",
        "",
        "Made from the tables in `autotrain/choices/` by `python docs/write_techniques.py`;",
        "a heading is a section of a space file. Formulas, sources and what each one equals stand",
        "in the docstrings there.",
    ]
    for name, section in SECTIONS.items():
        lines += [
            "",
            f"## `[{name}]`",
            "",
            f"{section.summary[:1].upper()}{section.summary[1:]}.",
            "",
        ]
        if section.parameters:
            lines += [*_table(name, section.parameters), ""]
        if section.rows:
            lines += ["| choice | formula | parameters |", "| --- | --- | --- |"]
            for row in section.rows.values():
                own = "; ".join(
                    f"`{key}` ({show(parameter.default)}): {parameter.doc}"
                    for key, parameter in row.parameters.items()
                )
                lines.append(f"| `{row.name}` | {_cell(row.summary)} | {_cell(own)} |")
    return "\n".join(lines).rstrip() + "\n"


def _table(section: str, parameters: Mapping[str, Parameter]) -> list[str]:
    auto = {key: ', or "auto"' for key in parameters if f"{section}.{key}" in AUTO_VALUES}
    rows = [
        f"| `{key}` | {show(p.default)} | {p.explain()}{auto.get(key, '')} | {_cell(p.doc)} |"
        for key, p in parameters.items()
    ]
    return ["| parameter | default | legal | meaning |", "| --- | --- | --- | --- |", *rows]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
