"""Entries of RL Zoo's yml files as plain values: reading one, and writing one as text."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import yaml

from sb3_atari_course._common.errors import SettingError
from sb3_atari_course.zoo.experiment import CourseExperimentManager

#: Hyperparameters of a yml entry, as JSON values.
Hyperparams = dict[str, Any]


def read_entry(
    algo: str,
    env_id: str,
    conf_file: str | Path | None = None,
    *,
    params: dict[str, Any] | None = None,
    env_kwargs: dict[str, Any] | None = None,
    n_timesteps: int = 0,
) -> Hyperparams:
    """Return the entry with which ``train`` would train, checked.

    :param algo: RL Zoo's name of the algorithm; register ours before.
    :param env_id: Gymnasium's id of the environment.
    :param conf_file: as ``-conf``; None for the default of ``sb3-atari train``.
    :param params: as ``-params``: they override those of the file.
    :param env_kwargs: merged into those of the file.
    :param n_timesteps: agent steps; 0 for those of the file.
    :raises SettingError: for an entry that is missing, or that ``train`` would reject; for one with
        other than plain values, as in Python files.
    """
    experiment: Any = CourseExperimentManager(
        argparse.Namespace(),
        algo,
        env_id,
        "",  # no log folder
        n_timesteps=n_timesteps,
        config=str(conf_file) if conf_file else None,
        hyperparams=params,
        env_kwargs=env_kwargs,
        verbose=0,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        entry = dict(experiment.read_hyperparameters()[0])
    try:
        plain: Hyperparams = json.loads(json.dumps(entry))
    except TypeError as error:
        raise SettingError(
            f"{experiment.config}: {error}: only plain values can be stored"
        ) from None
    return plain


class _PlainDumper(yaml.SafeDumper):
    """YAML dumper without anchors, and with lists of plain values on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_list(self, data: Any) -> yaml.SequenceNode:
        flow = not any(isinstance(one, dict) for one in data)
        return self.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


_PlainDumper.add_representer(list, _PlainDumper.represent_list)


def yml_block(env_id: str, hyperparams: Hyperparams, n_timesteps: int) -> str:
    """Return the text of a yml file for stock RL Zoo.

    :param env_id: key of the entry.
    :param hyperparams: the entry.
    :param n_timesteps: agent steps, replacing those of ``hyperparams``.
    """
    entry = {**hyperparams, "n_timesteps": n_timesteps}
    text: str = yaml.dump({env_id: entry}, Dumper=_PlainDumper, sort_keys=False, width=100)
    return text
