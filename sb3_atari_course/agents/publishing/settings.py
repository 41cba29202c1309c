"""Settings and command of a run as stock RL Zoo reads them: no Python objects, no folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from sb3_atari_course.plots.run_facts import RunFacts

#: Our algorithms whose agents one of stock RL Zoo's plays -> its name.
PLAYED_BY = {"fast_dqn": "dqn"}
#: What stock RL Zoo, or the algorithm in it, does not know.
_OURS = ("double_q", "compile", "callback")
#: Of the arguments of a training: what whoever plays its agent reads.
_ARGUMENTS = ("env", "env_kwargs", "n_timesteps", "seed")

#: Flags whose value is a path of the machine that trained -> whether the value's name is kept.
_PATHS = {"-conf": True, "--conf-file": True, "-f": False, "--log-folder": False}


def write_settings(folder: Path, facts: RunFacts) -> None:
    """Write ``config.yml``, ``args.yml`` and ``command.txt`` for the agents of a run.

    :param folder: that of the settings, ``.../BreakoutNoFrameskip-v4_1/BreakoutNoFrameskip-v4``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {key: value for key, value in facts.hyperparams.items() if key not in _OURS}
    algo = facts.algo or ""
    arguments: dict[str, Any] = {"algo": PLAYED_BY.get(algo, algo)}
    arguments |= {key: facts.arguments.get(key) for key in _ARGUMENTS}
    for name, content in (("config.yml", config), ("args.yml", arguments)):
        text = yaml.safe_dump(plain(content), sort_keys=True, default_flow_style=None)
        (folder / name).write_text(text, encoding="utf-8")
    command = shown_command(facts.command)
    (folder / "command.txt").write_text(f"{command}\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """Return a value of a yml as mappings, lists and scalars.

    >>> plain({"net_arch": (64, 64)})
    {'net_arch': [64, 64]}
    """
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return value


def shown_command(command: str) -> str:
    """Return the command of a training without the folders of the machine that ran it.

    >>> shown_command("/home/me/.venv/bin/python -m sb3_atari_course train -conf /a/dqn.yml -f /b")
    'python -m sb3_atari_course train -conf hyperparams/dqn.yml'
    """
    words = command.split()  # as RL Zoo joined them: quotes are lost already
    shown = ["python"] if words else []
    rest = iter(words[1:])
    if len(words) > 1 and Path(words[1]).name == "sb3-atari":
        shown += ["-m", "sb3_atari_course"]
        next(rest)
    for word in rest:
        if word not in _PATHS:
            shown.append(word)
            continue
        value = next(rest, "")
        if _PATHS[word]:
            shown += [word, f"hyperparams/{Path(value).name}" if os.sep in value else value]
    return " ".join(shown)
