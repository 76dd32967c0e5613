"""Which bundle a word on the command line means: a folder, a study's folder or a study's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from autotrain.cli.options import StudyName
from autotrain.errors import BundleError, nearest
from autotrain.paths import user_path
from autotrain.wording import count_text

if TYPE_CHECKING:
    import pandas as pd

    from autotrain.data.files import RawTable

RECORD = "bundle.json"
BEST = "best"

Command = TypeVar("Command", bound=Callable[..., Any])


class BundleName(StudyName):
    """A bundle's folder, or the name of a study; looked up later."""

    name = "bundle"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show BUNDLE in the help."""
        return "BUNDLE"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer studies, then folders."""
        studies = super().shell_complete(ctx, param, incomplete)
        return studies or [CompletionItem(incomplete, type="dir")]


def bundle_argument(command: Command) -> Command:
    """Add the argument BUNDLE."""
    return click.argument("bundle", type=BundleName())(command)


def find_bundle(word: str, studies: Path) -> Path:
    """Return the folder that is meant; whether it is intact is seen when it is read.

    Args:
        word: a bundle's folder, a study's folder, or a study's name.
        studies: where the studies are kept.
    Raises:
        BundleError: when there is nothing of that name; near names are suggested.
    """
    path = user_path(word)
    try:
        for folder in (path, path / BEST, studies / word / BEST):
            if (folder / RECORD).is_file():
                return folder
    except OSError as error:  # a name that is too long, for instance
        raise BundleError(
            f"{word}: expected the folder of a bundle, however: {error.strerror}. "
            "Give the folder, such as studies/NAME/best."
        ) from None
    if path.is_dir() and not (path / "study.toml").is_file():
        return path
    if path.is_file():
        raise BundleError(
            f"{word}: expected the folder of a bundle, however: it is a file. "
            "Give the folder, such as studies/NAME/best."
        )
    if (studies / word).is_dir() or path.is_dir():
        raise BundleError(
            f"{word}: expected a study with a model, however: none is exported yet. "
            "Wait for its first complete trial; a model that a kill or a hand has removed is made "
            "again by `autotrain resume`."
        )
    names = sorted(file.parent.parent.name for file in studies.glob(f"*/{BEST}/{RECORD}"))
    near = nearest(word, names)
    hint = f" Did you mean {near!r}?" if near is not None else ""
    known = f" Studies with a model: {', '.join(names)}." if names else ""
    raise BundleError(
        f"{word}: expected a bundle's folder or the name of a study, however: there is neither."
        f"{hint}{known}"
    )


def rows_to_ask(table: RawTable, notices: list[str], target: str | None = None) -> pd.DataFrame:
    """Return the rows of DATA that a trained model is asked of, the target among them.

    Those are the test rows where the format has some: the others are there to train with.

    Args:
        notices: what to tell the user is added.
        target: a column without which rows cannot be scored; None when it may be missing.
    """
    if table.test_frame is None or (target is not None and target not in table.test_frame):
        return table.frame
    rows = count_text(len(table.test_frame), "test row")
    notices.append(f"these are the {rows} of {table.source}, not those it is for training with")
    return table.test_frame
