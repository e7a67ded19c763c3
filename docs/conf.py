"""How Sphinx builds this documentation: ``make docs``."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "_ext")]

project = "caf"
author = "The caf developers"
project_copyright = "the caf developers"
release = version = installed_version("caf-core")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "caf_docs"]
exclude_patterns = ["_build", "examples", "how-to/files"]
# Quotes and ellipses, but no dashes: "--backend" in a sentence is an option.
smartquotes_action = "qe"
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_title = f"caf {release}"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Of two classes of one name, such as Setting, in annotations either may be meant; a link to both is no fault.
suppress_warnings = ["ref.python"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True, "ignore-module-all": True}
napoleon_custom_sections = [("Source", "notes_style")]
napoleon_use_ivar = True
