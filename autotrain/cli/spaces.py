"""`autotrain spaces`: list, show and check search spaces."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from autotrain.cli.options import json_option, setting_option
from autotrain.cli.parameters import FILE, complete_space
from autotrain.cli.printing import columns, print_json, say
from autotrain.cli.reading import NAMES as READING
from autotrain.cli.reading import reading_asked, reading_options
from autotrain.vocabulary import count_text

if TYPE_CHECKING:
    from autotrain.space.search_space import SearchSpace


space_argument = click.argument("space", metavar="NAME|FILE", shell_complete=complete_space)


@click.group()
def spaces() -> None:
    """List, show and check search spaces."""


@spaces.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the search spaces shipped with autotrain."""
    from autotrain.space.search_space import SearchSpace
    from autotrain.space.shipped import shipped_spaces, summary_of

    found = []
    for name, path in shipped_spaces().items():
        size = SearchSpace.from_toml(name).size()
        found.append(
            {
                "name": name,
                "summary": summary_of(path),
                "combinations": size.combinations,
                "continuous": size.continuous,
                "file": str(path),
            }
        )
    if as_json:
        print_json({"spaces": found})
        return
    rows = [["space", "combinations", "continuous", "purpose"]]
    for space in found:
        size_words = [f"{space['combinations']:,}", str(space["continuous"])]
        rows.append([str(space["name"]), *size_words, str(space["summary"])])
    say("\n".join(columns(rows, right=(1, 2))))


@spaces.command("show")
@space_argument
@click.option(
    "--data", type=FILE, metavar="DATA", help="Table for which to show the space; see search."
)
@setting_option("target", help="Column of --data to predict.")
@setting_option("task", default=None, show_default=False, help="Kind of target, as for search.")
@setting_option("weights", help="Column with sample weights, as for search.")
@setting_option(
    "validation", default=None, show_default=False, help="Validation split, as for search."
)
@setting_option("test", help="Held-out test set, as for search.")
@reading_options
@json_option
def show(space: str, data: str | None, as_json: bool, **options: Any) -> None:
    """Show a space as a tree, with its size.

    With --data the space is shown as a search of that table resolves it: [[when]] and "auto" depend
    on the data, and the number of training rows depends on --validation and --test.
    """
    from autotrain.space.search_space import SearchSpace

    given = {name: value for name, value in options.items() if value is not None}
    if given and data is None:
        name = next(iter(given))
        raise click.UsageError(f"--{name} requires --data.")
    searched = SearchSpace.from_toml(space)
    facts: dict[str, Any] = {}
    lines = []
    if data is not None:
        searched, facts = _for_table(searched, data, given)
        lines.append(_why(facts))
    if as_json:
        print_json(_facts(searched) | facts | {"space": searched.to_dict()})
    else:
        say("\n".join([*lines, searched.describe(), *_notes(searched)]))


@spaces.command("check")
@space_argument
@json_option
def check(space: str, as_json: bool) -> None:
    """Check a space and print all its mistakes at once."""
    from autotrain.space.search_space import SearchSpace

    searched = SearchSpace.from_toml(space)
    facts = _facts(searched)
    if as_json:
        print_json(facts)
    else:
        say(
            f"{space}: ok, {facts['combinations']:,} combinations × "
            f"{count_text(facts['continuous'], 'continuous parameter')}"
        )
        say("".join(f"{note}\n" for note in _notes(searched)), nl=False)


def _for_table(
    searched: SearchSpace, data: str, options: dict[str, Any]
) -> tuple[SearchSpace, dict[str, Any]]:
    """Return a space as resolved for a table, and the facts that it depends on."""
    from autotrain.data.loading import load_dataset
    from autotrain.search.preparing import shape_of

    # The default split of `search`.
    asked = {"validation": "auto", **options}
    reading = reading_asked(asked)
    table = load_dataset(
        data, reading=reading, **{name: asked[name] for name in asked.keys() - {*READING}}
    )
    shape = shape_of(table)
    facts = {
        "data": data,
        "target": table.target,
        "train_rows": shape.n_train,
        "inputs": shape.n_inputs,
        "numbers": shape.n_numbers,
        "task": table.task,
        "pictures": shape.pictures,
        "when": searched.conditions(shape),
    }
    return searched.resolve(**asdict(shape)), facts


def _why(facts: dict[str, Any]) -> str:
    """Return the facts that the space depends on, in one line."""
    rows = count_text(facts["train_rows"], "training row")
    inputs = count_text(facts["inputs"], "input")
    words = [rows, inputs, facts["task"], *(["pictures"] if facts["pictures"] else [])]
    holding = "".join(f"; when {conditions}" for conditions in facts["when"])
    return f"For {facts['data']}: {', '.join(words)}{holding}"


def _facts(searched: SearchSpace) -> dict[str, Any]:
    """Return a space's name, size and notices."""
    size = searched.size()
    return {
        "name": searched.source,
        "combinations": size.combinations,
        "continuous": size.continuous,
        "notes": searched.notices,
    }


def _notes(searched: SearchSpace) -> list[str]:
    return [f"Note: {notice}" for notice in searched.notices]
