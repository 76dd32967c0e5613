"""`autotrain spaces`: list, show and check search spaces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from autotrain.cli.options import SpaceName, json_option
from autotrain.cli.printing import columns, print_json
from autotrain.wording import count_text

if TYPE_CHECKING:
    from autotrain.space.search_space import SearchSpace


@click.group()
def spaces() -> None:
    """List, show and check search spaces."""


@spaces.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the spaces that come with autotrain."""
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
    rows = [["space", "combinations", "continuous", "for"]]
    for space in found:
        size_words = [f"{space['combinations']:,}", str(space["continuous"])]
        rows.append([str(space["name"]), *size_words, str(space["summary"])])
    click.echo("\n".join(columns(rows, right=(1, 2))))


@spaces.command("show")
@click.argument("space", type=SpaceName())
@json_option
def show(space: str, as_json: bool) -> None:
    """Show a space as a tree, with its size."""
    from autotrain.space.search_space import SearchSpace

    searched = SearchSpace.from_toml(space)
    if as_json:
        print_json(_facts(searched) | {"space": searched.to_dict()})
    else:
        click.echo(searched.describe())


@spaces.command("check")
@click.argument("space", type=SpaceName())
@json_option
def check(space: str, as_json: bool) -> None:
    """Check a space; every mistake of the file is told at once."""
    from autotrain.space.search_space import SearchSpace

    searched = SearchSpace.from_toml(space)
    facts = _facts(searched)
    if as_json:
        print_json(facts)
    else:
        click.echo(
            f"{space}: ok, {facts['combinations']:,} combinations × "
            f"{count_text(facts['continuous'], 'continuous parameter')}"
        )


def _facts(searched: SearchSpace) -> dict[str, Any]:
    """Return a space's name and size."""
    size = searched.size()
    return {
        "name": searched.source,
        "combinations": size.combinations,
        "continuous": size.continuous,
    }
