"""Write the report of a study to a file, and display it in a notebook."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from pathlib import Path

from autotrain.bundle.own_files import replace_own
from autotrain.errors import StudyError
from autotrain.reporting.report.facts import Content, facts_of
from autotrain.reporting.report.figures import figures_of
from autotrain.reporting.report.page import page_of

FILE = "report.html"
NOTEBOOK_HEIGHT = 800


@dataclass(frozen=True)
class Report:
    """A written report; a notebook displays it inline.

    Args:
        path: the file.
        html: its content.
    """

    path: Path
    html: str = field(repr=False)

    def _repr_html_(self) -> str:
        """Return a frame with the page, so that its styles do not change the notebook."""
        content = html.escape(self.html, quote=True)
        return (
            f'<iframe sandbox="allow-scripts" srcdoc="{content}" title="Report" '
            f'style="width: 100%; height: {NOTEBOOK_HEIGHT}px; border: 0"></iframe>'
        )


def write_report(content: Content, path: Path | None) -> Report:
    """Write the report of a study.

    Args:
        content: the content of the study.
        path: the file; None for `report.html` in the study's folder.
    Raises:
        StudyError: when the file cannot be written.
    """
    path = content.folder / FILE if path is None else path
    if path.is_dir():
        raise StudyError(
            f"path must be a file, got the folder {path}. Add the name of a file, such as {FILE}.",
            parameter="path",
        )
    facts = facts_of(content)
    page = page_of(facts, figures_of(facts))
    try:
        replace_own(path, page.encode())
    except OSError as error:
        raise StudyError(
            f"path must be a file that can be written, got {path}: {error.strerror}. Choose "
            "another file.",
            parameter="path",
        ) from error
    return Report(path, page)
