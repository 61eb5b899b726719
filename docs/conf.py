"""How the documentation is built: `make docs` writes it to build/docs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
# The reference is read from the package, which imports Airflow; it writes here and nowhere else.
os.environ.setdefault("AIRFLOW_HOME", str(ROOT / "build" / "docs-airflow"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

from airflow_reshape import __version__  # noqa: E402
from docs import tables  # noqa: E402

project = "airflow-reshape"
author = "the authors of airflow-reshape"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 3
highlight_language = "text"
smartquotes = False  # quotes belong to code here
# A page of others that is not there yet must not break the build.
suppress_warnings = ["toc.empty_glob"]

autodoc_default_options = {"members": False}
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["wide.css"]
html_title = f"airflow-reshape {release}"
html_copy_source = False
html_show_sphinx = False


class GeneratedTable(SphinxDirective):
    """Puts a table of docs/tables.py onto a page; the argument is the function's name."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The table, read as Markdown."""
        return self.parse_text_to_nodes(tables.TABLES[self.arguments[0]]())


def setup(app: Sphinx) -> None:
    """Sphinx asks for the directive here."""
    app.add_directive("generated-table", GeneratedTable)
