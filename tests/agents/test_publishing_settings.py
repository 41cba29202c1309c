"""Settings and commands that can be read elsewhere, and tell nothing of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from sb3_atari_course.agents.publishing import plain, shown_command

OURS = "python -m sb3_atari_course train"


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("/home/me/.venv/bin/python -m sb3_atari_course train --algo dqn --seed 2",
         f"{OURS} --algo dqn --seed 2"),
        ("python3 -m sb3_atari_course train -conf /home/me/a.yml -f /home/me/logs -n 9",
         f"{OURS} -conf a.yml -n 9"),
        ("python -m sb3_atari_course train -conf hyperparams/dqn.yml -f logs",
         f"{OURS} -conf hyperparams/dqn.yml"),
        ("python -m rl_zoo3.train --conf-file sb3_atari_course.hyperparams.dqn --log-folder logs",
         "python -m rl_zoo3.train --conf-file sb3_atari_course.hyperparams.dqn"),
        ("python -m rl_zoo3.train --conf-file=/home/me/x.yml --log-folder=/home/me/l -n 5",
         "python -m rl_zoo3.train --conf-file x.yml -n 5"),
        ("/home/me/.venv/bin/python /home/me/.venv/bin/sb3-atari train --algo dqn",
         f"{OURS} --algo dqn"),
        ("C:\\me\\python.exe C:\\me\\Scripts\\sb3-atari.exe train -conf C:\\me\\dqn.yml",
         f"{OURS} -conf hyperparams/dqn.yml"),
        ("python /home/me/rl-baselines3-zoo/train.py --algo dqn",
         "python -m rl_zoo3.train --algo dqn"),
        ("python -m rl_zoo3.train -i /home/me/old.zip -tb /tmp/tb --tensorboard-log=/tmp/tb",
         "python -m rl_zoo3.train -i old.zip"),
        ("python -m rl_zoo3.train --trial-id 3 --storage postgresql://me:secret@host/optuna",
         "python -m rl_zoo3.train --trial-id 3 --storage optuna"),
        ("python -m rl_zoo3.train --storage postgresql://me:TOPSECRET@host --trial-id 3",
         "python -m rl_zoo3.train --storage postgresql://me@host --trial-id 3"),
        ("python -m rl_zoo3.train --storage=mysql://host/db?user=me&password=TOPSECRET -n 5",
         "python -m rl_zoo3.train --storage=db?user=me -n 5"),
        ("python -m sb3_atari_course train -params replay_buffer_kwargs:{'n_steps': 3}",
         f"{OURS} -params replay_buffer_kwargs:{{'n_steps': 3}}"),
        ("python -m rl_zoo3.train --env-kwargs file:'/home/me/a.csv' --env ALE/Pong-v5",
         "python -m rl_zoo3.train --env-kwargs file:'a.csv' --env ALE/Pong-v5"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_command_tells_nothing_of_the_machine(command: str, shown: str) -> None:
    assert shown_command(command) == shown


def test_a_space_in_the_name_of_a_folder_hides_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "John Smith"
    home.mkdir()
    monkeypatch.setattr(Path, "home", lambda: home)
    command = f"{home}/bin/python -m sb3_atari_course train -f {home}/logs -conf {home}/mine.yml"
    assert shown_command(command) == f"{OURS} -conf mine.yml"
    assert plain([f"{home}/x.csv"]) == ["x.csv"]


def test_settings_are_plain() -> None:
    settings = {
        "net_arch": (64, [64]),
        "callback": [{"mine.Log": {"to": "/home/me/log.csv", "every": 3}}],
        "env_wrapper": "sb3_atari_course.envs.wrap_atari",
        "policy_kwargs": "dict(net_arch=[256, 256])",
        "gamma": None,
        "log": "mysql://me:TOPSECRET@host",
    }
    assert plain(settings) == {
        **settings,
        "net_arch": [64, [64]],
        "log": "mysql://me@host",
        "callback": [{"mine.Log": {"to": "log.csv", "every": 3}}],
    }
