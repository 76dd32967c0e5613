"""Find the bundle that an argument names: a folder, a study's folder or a study's name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from autotrain.cli.parameters import complete_bundle
from autotrain.errors import BundleError, nearest
from autotrain.vocabulary import count_text, user_path

if TYPE_CHECKING:
    import pandas as pd

    from autotrain.data.files import RawTable

RECORD = "bundle.json"
BEST = "best"


bundle_argument = click.argument("bundle", shell_complete=complete_bundle)


def find_bundle(word: str, studies: Path) -> Path:
    """Return the folder of a bundle; the bundle is verified when it is read.

    Args:
        word: a bundle's folder, a study's folder, or a study's name.
        studies: the folder that contains the studies.
    Raises:
        BundleError: when there is no bundle of that name; similar names are suggested.
    """
    path = user_path(word)
    try:
        for folder in (path, path / BEST, studies / word / BEST):
            if (folder / RECORD).is_file():
                return folder
    except OSError as error:  # for example, the name is too long
        raise BundleError(
            f"BUNDLE must be a readable folder, got {word}: {error.strerror}. "
            "Give the folder of a bundle, such as studies/NAME/best."
        ) from None
    if path.is_dir() and not (path / "study.toml").is_file():
        return path
    if path.is_file():
        raise BundleError(
            f"BUNDLE must be a folder, got the file {word}. "
            "Give the folder of a bundle, such as studies/NAME/best."
        )
    if (studies / word).is_dir() or path.is_dir():
        raise BundleError(
            f"study {word} has no exported model yet. Wait for its first complete trial. If the "
            "model was lost, `autotrain resume` exports it again."
        )
    names = sorted(file.parent.parent.name for file in studies.glob(f"*/{BEST}/{RECORD}"))
    near = nearest(word, names)
    hint = f" Did you mean {near!r}?" if near is not None else ""
    known = f" Studies with a model: {', '.join(names)}." if names else ""
    raise BundleError(
        f"BUNDLE must be the folder of a bundle or the name of a study, got {word!r}.{hint}{known}"
    )


def rows_to_predict(table: RawTable, notices: list[str], target: str | None = None) -> pd.DataFrame:
    """Return the rows of DATA to predict, including the target.

    If the format has its own test split, these are its test rows.

    Args:
        notices: receives a note about the rows that are used.
        target: a column that the rows must have, in order to be scored; None if it may be missing.
    """
    if table.test_frame is None or (target is not None and target not in table.test_frame):
        return table.frame
    rows = count_text(len(table.test_frame), "test row")
    notices.append(f"using the {rows} of {table.source}, not its training rows")
    return table.test_frame
