"""Settings and command of a run as stock RL Zoo reads them: no Python objects, no folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from sb3_atari_course._common.passwords import command_without_passwords, without_passwords
from sb3_atari_course.hyperparams import hyperparams_file
from sb3_atari_course.report.run_facts import RunFacts

#: Our algorithms whose agents one of stock RL Zoo's plays -> its name.
PLAYED_BY = {"fast_dqn": "dqn"}
#: What stock RL Zoo, or the algorithm in it, does not know.
_OURS = ("double_q", "compile", "callback")
#: Of the arguments of a training: what whoever plays its agent reads.
_ARGUMENTS = ("env", "env_kwargs", "gym_packages", "n_timesteps", "seed")

#: Flags that name folders of the machine that trained; they are left out.
_FOLDERS = ("-f", "--log-folder", "-tb", "--tensorboard-log", "--optimization-log-path")
#: What a command may begin with -> how it is typed elsewhere.
_SCRIPTS = {
    "sb3-atari": "sb3_atari_course",
    "rl_zoo3": "rl_zoo3",
    "train.py": "rl_zoo3.train",
}
#: Absolute paths, on any system, and addresses.
_PLACE = re.compile(r"(?<![\w.-])(?:[A-Za-z][A-Za-z+0-9]*:)?(?:[\\/]{1,4}[^\\/\s'\",\]})]+){2,}")


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
    """Return a value of a yml as mappings, lists and scalars, without passwords and folders.

    >>> plain({"net_arch": (64, 64), "log": "/home/me/logs"})
    {'net_arch': [64, 64], 'log': 'logs'}
    """
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    return without_folders(without_passwords(value)) if isinstance(value, str) else value


def without_folders(text: str) -> str:
    """Return a text with the last name of each absolute path in it.

    >>> without_folders("/home/me/dqn.yml ALE/Pong-v5 logs/dqn/A_1 sqlite:////home/me/x.db")
    'dqn.yml ALE/Pong-v5 logs/dqn/A_1 x.db'
    """
    return _PLACE.sub(lambda match: re.split(r"[\\/]", match[0])[-1], _without_spaces(text))


def _without_spaces(text: str) -> str:
    """Shorten the folders of this machine whose names would pass for several words."""
    for place in (str(Path.cwd()), str(Path.home())):
        if " " in place:
            text = text.replace(place, "/here")
    return text


def shown_command(command: str) -> str:
    """Return the command of a training without passwords and folders of the machine that ran it.

    >>> shown_command("/home/me/.venv/bin/python -m sb3_atari_course train -conf /a/dqn.yml -f b")
    'python -m sb3_atari_course train -conf hyperparams/dqn.yml'
    """
    words = _without_spaces(
        command_without_passwords(command)
    ).split()  # as RL Zoo joined them: quotes are lost already
    if not words:
        return ""
    if len(words) > 1:
        script = re.split(r"[\\/]", words[1])[-1].removesuffix(".exe")
        words[1:2] = ["-m", _SCRIPTS[script]] if script in _SCRIPTS else [words[1]]
    shown = ["python"]
    rest = iter(words[1:])
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag in _FOLDERS:
            if not equals:
                next(rest, None)
        elif flag in ("-conf", "--conf-file"):
            value = value if equals else next(rest, "")
            shown += [flag, _shown_file(value)]
        else:
            shown.append(without_folders(word))
    return " ".join(shown)


def _shown_file(path: str) -> str:
    """Return how the yml of a training is called elsewhere: ours by its place in a checkout."""
    name = without_folders(path)
    try:
        is_ours = hyperparams_file(Path(name).stem).name == name
    except FileNotFoundError:
        is_ours = False
    return f"hyperparams/{name}" if is_ours and name != path else name
