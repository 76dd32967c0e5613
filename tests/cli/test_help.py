"""Help, completion, version; the page docs/cli.md names every command and option."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from autotrain.cli.main import autotrain as root
from autotrain.search import settings
from autotrain.search.pruning.pruners import PRUNERS
from autotrain.search.sampling.samplers import SAMPLERS
from tests.cli.conftest import Run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def commands(
    group: click.Group = root, path: str = "autotrain"
) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands())


def sections() -> dict[str, str]:
    text = PAGE.read_text(encoding="utf-8")
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("path", COMMANDS)
def test_page_lists_every_option_and_no_other(path: str) -> None:
    found = [text for title, text in sections().items() if f"{title} ".startswith(f"{path} ")]
    assert len(found) == 1, f"docs/cli.md has no section {path!r}"
    text = re.sub(r"```.*?```", "", found[0], flags=re.DOTALL)
    code = " ".join(re.findall(r"`([^`]+)`", text))
    told = set(re.findall(r"--[a-z][a-z-]+", code))
    known = {
        name
        for param in COMMANDS[path].params
        for name in (*param.opts, *param.secondary_opts)
        if name.startswith("--")
    }
    assert told == known


def test_page_has_sections_of_existing_commands_only() -> None:
    titles = [title for title in sections() if title.startswith("autotrain ")]
    assert len(titles) == len(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_help_describes_each_option(path: str, autotrain: Run) -> None:
    done = autotrain(*path.split()[1:], "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: {path} ")
    for param in COMMANDS[path].params:
        if isinstance(param, click.Option):
            assert param.help, f"{path} {param.name}"
            assert param.help[:15] in " ".join(done.out.split())
        else:
            assert param.make_metavar(click.Context(COMMANDS[path])) in done.out


def test_words_of_settings_equal_the_tables_of_the_search() -> None:
    assert set(settings.SAMPLERS) == set(SAMPLERS)
    assert set(settings.PRUNERS) == set(PRUNERS)


def test_version_and_no_command(autotrain: Run) -> None:
    assert re.fullmatch(r"autotrain \d+\.\d+\.\d+\n", autotrain("--version").out)
    nothing = autotrain()
    assert nothing.code == 2
    assert "search" in nothing.err


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ([], "sea", {"search"}),
        (["show"], "pl", {"plain"}),
        (["resume", "--directory", "studies"], "", {"shop", "paid", "plain"}),
        (["predict"], "pa", {"paid"}),
        (["search", "x.csv", "--space"], "qu", {"quick"}),
        (["search", "x.csv", "--sampler"], "", set(SAMPLERS)),
        (["spaces"], "", {"list", "show", "check"}),
    ],
)
def test_shell_completion(
    there: Path, words: list[str], incomplete: str, expected: set[str]
) -> None:
    found = ShellComplete(root, {}, "autotrain", "_AUTOTRAIN_COMPLETE").get_completions(
        words, incomplete
    )
    assert {item.value for item in found} == expected
