"""Which versions of packages wrote a checkpoint: others may not go on to the bit."""

from __future__ import annotations

import platform
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from sb3_atari_course import __version__

#: Others that play or learn.
_PACKAGES = (
    "stable-baselines3",
    "sb3-contrib",
    "torch",
    "numpy",
    "gymnasium",
    "ale-py",
    "opencv-python-headless",
)


@cache
def installed_versions() -> dict[str, str]:
    """Return the versions of what trains here: package -> version."""
    found = {"python": platform.python_version(), "sb3_atari_course": __version__}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):  # OpenCV has several packages
            found[name] = version(name)
    return found


def version_changes(saved: dict[str, str]) -> list[str]:
    """Return what has changed since a checkpoint, as words; what it does not name has not."""
    here = installed_versions()
    return [
        f"{name} {version} is {here.get(name, 'not here')} now"
        for name, version in saved.items()
        if here.get(name) != version
    ]
