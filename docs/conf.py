"""The documentation: `sphinx-build -W -b html docs docs/_build/html`."""

from __future__ import annotations

import configparser
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "_ext"))

_setup = configparser.ConfigParser()
_setup.read(Path(__file__).resolve().parent.parent / "setup.cfg")

project = "txnodetls"
author = "The txnodetls authors"
copyright = author
release = version = _setup["metadata"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "epytext"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True
# What others document (Twisted, zope, cryptography) and what is internal here is shown by its name.
nitpick_ignore_regex = [("py:.*", ".*")]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
add_module_names = False
python_display_short_literal_types = True
python_maximum_signature_line_length = 80

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
# Links that lead out of this directory, to README and sources, are for readers of the repository.
suppress_warnings = ["myst.xref_missing"]

html_theme = "furo"
html_title = f"txnodetls {release}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
