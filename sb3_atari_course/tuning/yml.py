"""An entry of hyperparameters as a yml that stock RL Zoo reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from sb3_atari_course.tuning.places import Hyperparams


class _PlainDumper(yaml.SafeDumper):
    """Writes no anchors, and lists of plain values in a line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_list(self, data: Any) -> yaml.SequenceNode:
        flow = not any(isinstance(one, dict) for one in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


_PlainDumper.add_representer(list, _PlainDumper.represent_list)


def yml_block(env_id: str, hyperparams: Hyperparams, n_timesteps: int) -> str:
    """Return the text of an entry.

    :param n_timesteps: agent steps, in place of those of ``hyperparams``.
    """
    entry = {**hyperparams, "n_timesteps": n_timesteps}
    text: str = yaml.dump({env_id: entry}, Dumper=_PlainDumper, sort_keys=False, width=100)
    return text


def write_yml(path: Path, env_id: str, hyperparams: Hyperparams, n_timesteps: int) -> None:
    """Write a file with one entry."""
    write_text(path, yml_block(env_id, hyperparams, n_timesteps))


def write_text(path: Path, text: str) -> None:
    """Write a file at once: nobody sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)
