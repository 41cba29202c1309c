"""Command ``publish``: its flags, and the choice of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sb3_atari_course.agents import publishing
from tests.zoo.runs import cli

RUN = "logs/dqn/CartPole-v1_1"


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Return what is passed on to ``agents.publishing.publish``."""
    passed: list[tuple[Any, ...]] = []

    def publish(run: Path, folder: str, **kwargs: Any) -> Path:
        passed.append((run, folder, kwargs))
        return Path(folder) / "dqn/CartPole-v1_1"

    monkeypatch.setattr(publishing, "publish", publish)
    Path(RUN).mkdir(parents=True)
    return passed


DEFAULTS = {
    "stages": [],
    "n_games": 30,
    "seed": 1000,
    "selection_games": 10,
    "selection_seed": 500,
    "epsilon": None,
    "device": "cpu",
    "gym_packages": [],
    "n_envs": 16,
    "n_workers": 2,
    "progress_bar": True,
}


def test_run_is_selected_by_folder_or_flags(
    published: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    choice = ["--algo", "dqn", "--env", "CartPole-v1", "-f", "logs"]
    for arguments in ([RUN], choice, [*choice, "--exp-id", "1"]):
        assert cli("publish", *arguments, "--workers", "2") == 0
        assert capsys.readouterr().out == "published: my_agents/dqn/CartPole-v1_1\n"
        assert published.pop() == (Path(RUN), "my_agents", DEFAULTS)


def test_passes_all_flags_to_publish(published: list[tuple[Any, ...]]) -> None:
    flags = ["-o", "there", "--stages", "5", "7", "-n", "2", "--seed", "3", "--selection-games"]
    flags += ["4", "--selection-seed", "6", "--epsilon", "0.1", "--gym-packages", "json"]
    flags += ["--n-envs", "5", "--workers", "3"]
    assert cli("publish", RUN, *flags) == 0
    expected = {"stages": [5, 7], "n_games": 2, "seed": 3, "selection_games": 4}
    expected |= {"selection_seed": 6, "epsilon": 0.1, "device": "cpu", "gym_packages": ["json"]}
    expected |= {"n_envs": 5, "n_workers": 3, "progress_bar": True}
    assert published == [(Path(RUN), "there", expected)]
