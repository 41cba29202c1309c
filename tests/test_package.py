"""The package as a whole."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sb3_atari_course

ROOT = Path(__file__).parents[1]


#: Modules that users import from.
PUBLIC = (
    "",
    ".agents",
    ".callbacks",
    ".checkpoints",
    ".course",
    ".envs",
    ".evaluation",
    ".fast_dqn",
    ".policies",
    ".q_learning",
    ".replay",
    ".report",
    ".wrappers",
)


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_and_their_methods_have_docstrings(module: str) -> None:
    public = importlib.import_module(f"sb3_atari_course{module}")
    for name in public.__all__:
        found = getattr(public, name)
        assert found.__doc__ or not callable(found), name
        for method, function in vars(found).items() if isinstance(found, type) else ():
            if not method.startswith("_") and (
                callable(function) or isinstance(function, property)
            ):
                assert inspect.getdoc(getattr(found, method)), f"{name}.{method}"


@pytest.mark.process
def test_importing_the_package_needs_only_the_core_and_does_nothing() -> None:
    """No extra, no registration, no torch threads or global generators touched."""
    code = (
        "import sys, numpy as np, torch as th, random\n"
        "import stable_baselines3\n"  # which does draw from random, for a temporary file
        "def states():\n"
        "    numpy_state = np.random.get_state()[1].tolist()\n"
        "    return numpy_state, th.get_rng_state().tolist(), random.getstate()\n"
        "before = states()\n"
        "import sb3_atari_course, sb3_atari_course.cli.train, sb3_atari_course.cli.record\n"
        "assert before == states()\n"
        "import gymnasium\n"
        "assert 'BreakoutDeterministic-v4' not in gymnasium.registry\n"
        "import sb3_atari_course.register\n"
        "assert 'BreakoutDeterministic-v4' in gymnasium.registry\n"
        "block = {'moviepy', 'pygame', 'skimage', 'Box2D'} & set(sys.modules)\n"
        "assert not block, block\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_module_docstring_first_line_describes_the_module() -> None:
    for module in pkgutil.walk_packages(sb3_atari_course.__path__, "sb3_atari_course."):
        if module.name.endswith((".register", ".native_zoo", "__main__")):
            continue
        first = (importlib.import_module(module.name).__doc__ or "").split("\n")[0]
        assert re.match(r".{15,100}[.:?]$", first), module.name


def test_version_is_in_the_changelog() -> None:
    assert f"## {sb3_atari_course.__version__}" in (ROOT / "CHANGELOG.md").read_text()
