"""Sphinx configuration: `make docs` builds the site into build/docs.

Every warning fails the build, so a broken link or an unknown reference cannot stay unnoticed.
"""

from __future__ import annotations

import importlib.metadata

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
autodoc_default_options = {"members": True, "inherited-members": False, "undoc-members": False}
autosummary_generate = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Source", "returns_style"), ("See also", "returns_style")]

# HTML
html_theme = "furo"
html_title = f"autotrain {release}"
html_static_path = ["images"]
html_show_sphinx = False
pygments_style = "default"
pygments_dark_style = "monokai"
