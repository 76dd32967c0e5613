"""Write docs/techniques.md from the tables: `python docs/write_techniques.py`.

A test compares the page with what this makes, so it cannot fall behind.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from autotrain.network.flags import FLAGS, FLAT_SLOPE
from autotrain.space.auto import AUTO_VALUES
from autotrain.space.sections import SECTIONS
from autotrain.space.values import show
from autotrain.techniques.technique import Parameter

PAGE = Path(__file__).with_name("techniques.md")
DIAGNOSTICS = """
## Diagnostics

The trainer measures the health of every trial, also of those that are pruned or diverge.
`autotrain show NAME` names the trials with a flag. `autotrain show NAME --trial N` and
`study.trial(N)` give the numbers layer by layer. The model card has those of the winner.

| number | definition |
| --- | --- |
| gradient norm of a layer | L2 norm of ∂loss/∂W on a batch, without penalties and before \
clipping; the mean over the steps of an epoch |
| training loss | mean over the steps of an epoch, with dropout, without penalties |
| loss at initialization | ln C for C classes, 1 for a number, which is standardized: the loss of \
a constant answer, about what a well-initialized network starts with |
| dead units of a layer | share of the units whose activation is 0 for every validation row; of \
all activations except sigmoid, tanh and softplus |
| saturated outputs of a layer | share of the outputs with \\|f′(z)\\| < {flat_slope:g} on the \
validation rows; of sigmoid and tanh. For a parametric activation f is z + a (f(z) − z) |

Each flag is decided layer by layer. "Last epoch" is the last one trained, not the one whose
weights are kept. With folds, a trial has the flags of all its folds. It keeps the numbers of the
first fold with each flag, or of the first fold where none has one.

| flag | set when | means | try |
| --- | --- | --- | --- |
{flags}

Growth from a tiny start is no explosion. A poor initialization, whose first step has a high loss,
may recover within the first epoch. In later epochs a loss far above that of a constant answer is an
explosion. Where the output layer's norm is 0, as in a network whose units are all dead, the ratio
counts as 0. `vanishing` is not decided where the last epoch lost its finite numbers, nor at a
training loss of 0.

A trial keeps three user attributes: `flags`, `gradient_ratio` (the smallest ratio of a hidden
layer's norm to the output layer's in the last epoch) and `diagnostics`. The last is a list with one
entry a fold: losses and norms of the first step and of the last epoch, and shares by layer.
"""


def page() -> str:
    """Return the page as Markdown."""
    lines = [
        "# Techniques",
        "",
        "Formula, default and legal values of everything a search space can name, and where Keras",
        "or torch differ. A heading is a section of a space file; a parameter `row.key` belongs to",
        "one choice. The page is made from the tables in `autotrain/techniques/` by",
        "`python docs/write_techniques.py`. Sources are in the docstrings there.",
    ]
    for name, section in SECTIONS.items():
        lines += ["", f"## `[{name}]`", "", _sentence(section.summary)]
        if section.note:
            lines += ["", _wrapped(section.note)]
        if section.rows:
            lines += ["", "| choice | formula |", "| --- | --- |"]
            lines += [f"| `{row.name}` | {_cell(row.summary)} |" for row in section.rows.values()]
            notes = [
                _wrapped(f"- `{row.name}`: {row.note}", indent="  ")
                for row in section.rows.values()
                if row.note
            ]
            lines += ["", *notes] if notes else []
        own = {
            f"{row.name}.{key}": parameter
            for row in section.rows.values()
            for key, parameter in row.parameters.items()
        }
        if section.parameters or own:
            lines += ["", *_table(name, {**section.parameters, **own})]
    return "\n".join([*lines, _diagnostics()]).rstrip() + "\n"


def _diagnostics() -> str:
    """Return the section on the diagnostics of trials, from the table of flags."""
    rows = []
    for flag in FLAGS.values():
        cells = (flag.definition, flag.meaning, flag.advice.removeprefix("try "))
        rows.append(f"| `{flag.name}` | {' | '.join(map(_cell, cells))} |")
    return DIAGNOSTICS.format(flat_slope=FLAT_SLOPE, flags="\n".join(rows))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


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
