"""Native environments in RL Zoo: ``--gym-packages``, or ``--vec-env native`` of our launcher."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import DQN

from sb3_atari_course import AtariCnnPolicy
from tests.zoo.runs import TOY, TOY_PARAMS, assert_learned, printed_by, python_m, train

#: RL Zoo leaves monitor files open.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

GAME = "BreakoutNoFrameskip-v4"
RUN = ["--algo", "dqn", "--env", GAME]
NATIVE = ["--gym-packages", "sb3_atari_course.native_zoo"]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a log folder with a toy training by stock RL Zoo on three native environments."""
    folder = tmp_path_factory.mktemp("logs")
    conf = ["-conf", "hyperparams/dqn.yml"]
    short = "env_kwargs:{'max_num_frames_per_episode': 200}"  # so that episodes end
    train(*RUN, *conf, *NATIVE, logs=folder, params=("n_envs:3", short))
    return folder


@pytest.mark.process
def test_stock_rl_zoo_trains_and_evaluates_on_native_envs(logs: Path) -> None:
    run = logs / f"dqn/{GAME}_1"
    model = DQN.load(run / f"{GAME}.zip", buffer_size=1)
    assert type(model.policy) is AtariCnnPolicy
    assert_learned(model)
    evaluations = np.load(run / "evaluations.npz")
    assert (evaluations["ep_lengths"] > 4 * 30).all()  # frames of a whole game, not of a life
    games = []
    for i in range(3):
        with open(run / f"{i}.monitor.csv") as file:
            assert GAME in file.readline()
            games += [(float(game["r"]), int(game["l"])) for game in csv.DictReader(file)]
    assert len(games) >= 3
    assert all(score % 1 == 0 and 200 <= n_frames <= 230 for score, n_frames in games)


@pytest.mark.services
def test_stock_enjoy_and_record_video_load_natively_trained_models(logs: Path) -> None:
    """Enjoy uses native environments; record_video has no --gym-packages."""
    printed = python_m("rl_zoo3.enjoy", *RUN, *NATIVE, "-f", str(logs), "--no-render", "-n", "150")
    assert "Atari Episode Score" in printed
    python_m("rl_zoo3.record_video", *RUN, "-f", str(logs), "-n", "20")
    assert list((logs / f"dqn/{GAME}_1/videos").glob("*.mp4"))


def test_train_uses_native_envs_with_the_frame_stack_of_the_yml(tmp_path: Path) -> None:
    """Pong uses the entry ``atari``, which stacks frames by SB3's VecFrameStack."""
    pong = ["--algo", "dqn", "--env", "PongNoFrameskip-v4"]
    printed_by(
        *("train", *pong, "--vec-env", "native", "-f", str(tmp_path)),
        *("--seed", str(2**32 - 1), *TOY, "--eval-freq", "-1", "-params", *TOY_PARAMS, "n_envs:2"),
    )
    folder = tmp_path / "dqn/PongNoFrameskip-v4_1"
    model = DQN.load(folder / "PongNoFrameskip-v4.zip", buffer_size=1)
    assert model.observation_space.shape == (4, 84, 84)
    assert_learned(model)
    printed = printed_by(
        *("enjoy", *pong, "--vec-env=native", "-f", str(tmp_path)),
        *("--no-render", "-n", "50"),
    )
    assert "Stacking 4 frames" in printed
