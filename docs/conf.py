"""Sphinx configuration; ``make docs`` builds the site into ``docs/_build/html``.

No network is needed. ``-t intersphinx`` links the classes of other projects to their documentation,
and that does need one.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any, get_origin

from sphinx.application import Sphinx

import sb3_atari_course

DOCS = Path(__file__).parent

project = "sb3_atari_course"
author = "the makers of sb3_atari_course"
copyright = "2026, the makers of sb3_atari_course"
version = release = sb3_atari_course.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "sphinxcontrib.programoutput",
]
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # lessons are shown from their stored outputs: `make notebooks` runs them

html_theme = "furo"
html_title = "sb3_atari_course"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"

autodoc_inherit_docstrings = False  # those of other projects are not all valid here
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_default_options = {"members": True, "imported-members": True, "show-inheritance": True}

nitpicky = True  # a reference to a name that does not exist fails the build
if tags.has("intersphinx"):  # type: ignore[name-defined]  # noqa: F821  # Sphinx defines `tags`
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "gymnasium": ("https://gymnasium.farama.org", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "optuna": ("https://optuna.readthedocs.io/en/stable", None),
        "python": ("https://docs.python.org/3", None),
        "stable_baselines3": ("https://stable-baselines3.readthedocs.io/en/master", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }
else:
    nitpick_ignore_regex = [
        ("py:.*", r"(?!sb3_atari_course\b).*"),  # names of other projects
        ("py:.*", r"sb3_atari_course\.\w+\.\w+\.\w+"),  # types of inner modules in signatures
    ]

linkcheck_ignore = [r"https?://"]  # external links are listed in links/output.json, not fetched

# The commands of the command line reference are those of this environment.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ["COLUMNS"] = "88"  # argparse wraps its help there


def _copy_lessons(app: Sphinx) -> None:
    """Copy the executed notebooks below docs/, since Sphinx reads no files outside of it."""
    for notebook in sorted((DOCS.parent / "examples/notebooks").glob("*.ipynb")):
        shutil.copyfile(notebook, DOCS / "course" / notebook.name)


def _shorten_bases(app: Sphinx, name: str, obj: type, options: object, bases: list[Any]) -> None:
    """Show ``Wrapper`` instead of ``Wrapper[ndarray[tuple[Any, ...], dtype[uint8]], int, ...]``."""
    bases[:] = [get_origin(base) or base for base in bases]


def setup(app: Sphinx) -> None:
    """Connect the hooks of this site."""
    app.connect("builder-inited", _copy_lessons)
    app.connect("autodoc-process-bases", _shorten_bases)
