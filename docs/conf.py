"""Sphinx configuration: `make docs` builds the site into build/docs.

Every warning fails the build, so a broken link or an unknown reference cannot stay unnoticed.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
# The documented package is the one of this checkout, whatever is installed.
sys.path.insert(0, str(ROOT))

project = "autotrain"
author = "The autotrain authors"
release = version = importlib.metadata.version("autotrain")
project_copyright = author

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_click",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True
smartquotes = False  # "--option" must keep both hyphens.
# Other libraries' pages are not looked up, because the build needs no network. Our own types that
# are not public are named in signatures but have no page.
nitpick_ignore_regex = [(r"py:.*", r".*")]

# Markdown
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
# A heading's anchor is GitHub's, so that links work there, too.

# Python reference
default_role = "code"  # Docstrings write code in single backticks.
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 80  # One argument a line in long signatures.
toc_object_entries_show_parents = "hide"  # "predict()", not "Predictor.predict()", in the margin.
autodoc_default_options = {"members": True, "undoc-members": False}
autosummary_generate = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # Attributes of dataclasses are documented once.
napoleon_use_rtype = False
napoleon_custom_sections = [("Source", "returns_style"), ("See also", "returns_style")]

# HTML
html_theme = "furo"
html_title = f"autotrain {release}"
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["narrow.css"]
pygments_style = "default"
pygments_dark_style = "monokai"

_ONE_LINE_SECTION = re.compile(r"(Args|Returns|Raises|Yields|Examples|Source|See also): (\S.*)")
_ERROR = re.compile(r"((?:\w*Error|KeyboardInterrupt)(?:, \w*Error)*):? (.*)")
_CODE = re.compile(r"(`[^`]*`)")


def sections_to_google_style(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Rewrite docstrings, in place, into what napoleon and reStructuredText read.

    Our docstrings are plain text: "Returns: the mean." may be one line, and stars and
    underscores are not markup.
    """
    written: list[str] = []
    for line in lines:
        indent = len(line) - len(line.lstrip())
        is_literal = line.lstrip().startswith((">>>", "..."))
        text = line if is_literal else _escaped(line)
        match = _ONE_LINE_SECTION.fullmatch(text) if indent == 0 else None
        if match is None:
            written.append(text)
            continue
        section, body = match.groups()
        if written and written[-1]:
            written.append("")
        if section == "Raises" and (error := _ERROR.fullmatch(body)) is not None:
            body = f"{error[1]}: {error[2]}"
        written += [f"{section}:", f"    {body}"]
    lines[:] = written


def _escaped(line: str) -> str:
    """Escape what reStructuredText would read as markup, except in code between backticks."""
    parts = _CODE.split(line)
    for place in range(0, len(parts), 2):
        parts[place] = re.sub(r"(?<=\w)_(?!\w)|\*|\|", r"\\\g<0>", parts[place])
    return "".join(parts)


def links_to_repository(app: Sphinx, name: str, source: list[str]) -> None:
    """Turn links to Markdown files outside of docs/ into downloads, in place.

    On GitHub these links open the file. On the site they are no pages and have no anchors.
    """
    folder = (ROOT / "docs" / name).parent

    def written(link: re.Match[str]) -> str:
        path = (folder / link[1]).resolve()
        return link[0] if path.is_relative_to(ROOT / "docs") else f"](path:{link[1]})"

    source[0] = re.sub(r"\]\((\.\./[\w./]+\.md)(?:#[\w-]+)?\)", written, source[0])


def dashes(app: Sphinx, tree: nodes.document, name: str) -> None:
    """Write the separator of a parameter and its text as a dash, in place."""
    for text in list(tree.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" – "))


def setup(app: Sphinx) -> None:
    """Connect the functions above; napoleon itself runs at priority 500."""
    app.connect("autodoc-process-docstring", sections_to_google_style, priority=400)
    app.connect("source-read", links_to_repository)
    app.connect("doctree-resolved", dashes)
