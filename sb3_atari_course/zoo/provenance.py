"""What a training is run with: commit, versions and machine, noted in its run folder."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import psutil
import torch as th

import sb3_atari_course
from sb3_atari_course.checkpoints.folder import installed_versions

#: The note's name, beside RL Zoo's ``config.yml``.
PROVENANCE = "provenance.json"


def note_provenance(folder: Path) -> None:
    """Write down what is there now, when a training begins.

    :param folder: of a run's settings, ``.../BreakoutNoFrameskip-v4_1/BreakoutNoFrameskip-v4``.
    """
    text = json.dumps(find_provenance(), indent=2)
    (folder / PROVENANCE).write_text(text + "\n", encoding="utf-8")


def from_here(text: str) -> str:
    """Return a text with the current folder as ``.`` and the home folder as ``~``."""
    for place, shown in ((Path.cwd(), "."), (Path.home(), "~")):
        if place != Path(place.anchor):
            text = text.replace(str(place), shown)
    return text


def portable(word: str) -> str:
    """Return a word of a command line without the folders of this machine.

    >>> portable("--conf-file=/somewhere/else/dqn.yml")
    '--conf-file=dqn.yml'

    :param word: a path elsewhere than in the current and the home folder keeps its name only.
    """
    flag, equals, value = from_here(word).rpartition("=")
    return f"{flag}{equals}{Path(value).name if os.path.isabs(value) else value}"


def find_provenance() -> dict[str, Any]:
    """Return commit, versions and hardware of this process, as plain data."""
    return {
        "commit": find_commit(Path(sb3_atari_course.__file__).parent),
        "versions": installed_versions(),
        "hardware": describe_machine(),
    }


def find_commit(folder: Path) -> str | None:
    """Return the commit that is checked out in a folder, ``-dirty`` if files were changed.

    :return: None where there is no Git or no checkout.
    """
    describe = ["describe", "--always", "--abbrev=40", "--dirty", "--exclude", "*"]
    try:
        _git(folder, "ls-files", "--error-unmatch", ".")  # not installed inside somebody's checkout
        return _git(folder, *describe)
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *words: str) -> str:
    command = ["git", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def describe_machine() -> str:
    """Return processor, cores, memory and GPU in a few words."""
    gpu = f", {th.cuda.get_device_name()}" if th.cuda.is_available() else ", no GPU"
    memory = round(psutil.virtual_memory().total / 2**30)
    return f"{_processor()}, {os.cpu_count()} cores, {memory} GB{gpu}"


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # no Linux
        return platform.processor() or platform.machine()
    names = re.findall(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    return names[0] if names else platform.machine()
