"""The documentation: `sphinx-build -W -b html docs docs/_build/html`."""

from __future__ import annotations

import configparser
from pathlib import Path

_setup = configparser.ConfigParser()
_setup.read(Path(__file__).resolve().parent.parent / "setup.cfg")

project = "txnodetls"
author = "The txnodetls authors"
copyright = author
release = version = _setup["metadata"]["version"]

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "deflist"]
# Links that lead out of this directory, to README and sources, are for readers of the repository.
suppress_warnings = ["myst.xref_missing"]

html_theme = "furo"
html_title = f"txnodetls {release}"
