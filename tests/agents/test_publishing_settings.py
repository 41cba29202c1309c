"""Settings and commands that can be read elsewhere, and tell nothing of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from sb3_atari_course.agents.publishing import plain, shown_command
from sb3_atari_course.zoo.provenance import portable

ZOO, OURS = "python -m rl_zoo3.train", "python -m sb3_atari_course train"


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the home folder have a space in its name."""
    (tmp_path / "John Smith" / "here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "John Smith" / "here")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "John Smith")


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("{home}/x/bin/python -m sb3_atari_course train --seed 2", f"{OURS} --seed 2"),
        (f"{OURS} -conf /x/a.yml -f /x/logs -n 9", f"{OURS} -conf a.yml -f logs -n 9"),
        (f"{OURS} -conf hyperparams/dqn.yml -f logs", f"{OURS} -conf hyperparams/dqn.yml -f logs"),
        (f"{ZOO} --conf-file=/x/x.yml -n 5", f"{ZOO} --conf-file=x.yml -n 5"),
        (f"{OURS} -f {{home}}/logs -conf {{cwd}}/a.yml", f"{OURS} -f ~/logs -conf ./a.yml"),
        (f"{ZOO} --env-kwargs file:'{{home}}/a.csv'", f"{ZOO} --env-kwargs file:'~/a.csv'"),
        (f"{ZOO} --storage sqlite:///{{home}}/x.db", f"{ZOO} --storage sqlite:///~/x.db"),
        (f"{ZOO} --storage postgresql://me:TOPSECRET@host --trial-id 3",
         f"{ZOO} --storage postgresql://me@host --trial-id 3"),
        (f"{ZOO} --storage=mysql://host/db?user=me&password=TOPSECRET -n 5",
         f"{ZOO} --storage=mysql://host/db?user=me -n 5"),
        (f"{OURS} -params replay_buffer_kwargs:{{{{'n_steps': 3}}}}",
         f"{OURS} -params replay_buffer_kwargs:{{'n_steps': 3}}"),
        ("", ""),
    ],
)  # fmt: skip
def test_the_command_tells_nothing_of_the_machine(command: str, shown: str) -> None:
    assert shown_command(command.format(home=Path.home(), cwd=Path.cwd())) == shown


def test_what_train_notes_is_shown_as_it_is() -> None:
    words = ["/x/bin/python", "-m", "x", "-f", f"{Path.cwd()}/logs", "-i=/elsewhere/a b.zip"]
    noted = " ".join(map(portable, words))
    assert noted == "python -m x -f ./logs -i=a b.zip"
    assert shown_command(noted) == noted


@pytest.mark.parametrize("place", ["cwd", "home"])
def test_the_root_is_no_folder_of_anybody(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, place, lambda: Path("/"))
    assert portable("a/b:/c") == "a/b:/c"


def test_settings_are_plain() -> None:
    settings = {
        "net_arch": (64, [64]),
        "callback": [{"mine.Log": {"to": "/x/log.csv", "every": 3}}],
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
