"""Films of a training: whole games of the first environment, the newest ones."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecTransposeImage

from sb3_atari_course import make_atari_env
from sb3_atari_course.callbacks import CsvLog, EpisodeTable, RecordVideo
from tests.callbacks.trainings import frames_on, painted, player, vec_env
from tests.report.video.reading import read_video

GAME = 6  # agent steps of a painted game


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_whole_games_through_all_lives_of_the_first_env(tmp_path: Path) -> None:
    callback = RecordVideo(2, folder=tmp_path / "new", keep=2, fps=15)
    model = player(vec_env(partial(painted, 0), partial(painted, 1)))
    model.learn(2 * (5 * GAME + 3), callback=callback)
    assert names(tmp_path / "new") == ["game_000002_score_6.mp4", "game_000004_score_6.mp4"]
    assert [path.name for path in callback.paths] == names(tmp_path / "new")
    about, pictures = read_video(callback.paths[0])
    assert frames_on(pictures) == [(3, frame, 0) for frame in range(6)]  # FakeGame counts from 1
    assert "15 fps" in about


def test_an_unfinished_game_leaves_nothing(tmp_path: Path) -> None:
    callback = RecordVideo(2, folder=tmp_path)
    player(vec_env(painted)).learn(2 * GAME + 3, callback=callback)
    assert names(tmp_path) == ["game_000000_score_6.mp4"]


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "game_000000_score_1.mp4").touch()
    player(vec_env(painted)).learn(2 * GAME, callback=RecordVideo(1, folder=tmp_path))
    assert names(tmp_path) == ["game_000000_score_1.mp4", "game_000001_score_6.mp4"]


def test_learning_goes_on_with_the_next_whole_game(tmp_path: Path) -> None:
    callback = RecordVideo(1, folder=tmp_path, keep=9)
    model = player(vec_env(painted))
    model.learn(GAME + 2, callback=callback)
    model.learn(3 * GAME - 2, callback=callback, reset_num_timesteps=False)
    # the end of the first learn broke off the film of game 1, the second begins with game 2's
    assert [path.name for path in callback.paths] == [
        f"game_00000{i}_score_6.mp4" for i in (0, 2, 3)
    ]
    model.learn(GAME, callback=callback)  # counts anew; the file is replaced
    assert [path.name[:11] for path in callback.paths] == [
        "game_000002",
        "game_000003",
        "game_000000",
    ]
    assert frames_on(read_video(callback.paths[-1])[1])[0] == (6, 0, 0)


class Interrupt(BaseCallback):
    """Ctrl-C in the third step."""

    def _on_step(self) -> bool:
        if self.n_calls == 3:
            raise KeyboardInterrupt
        return True


def test_an_interrupted_training_leaves_nothing(tmp_path: Path) -> None:
    callback = RecordVideo(1, folder=tmp_path)
    model = player(vec_env(painted))
    with pytest.raises(KeyboardInterrupt):
        model.learn(GAME, callback=[callback, Interrupt()])
    model.learn(GAME, callback=callback)
    assert names(tmp_path) == ["game_000000_score_6.mp4"]


@pytest.mark.parametrize("native", [False, True])
def test_the_film_shows_the_game(native: bool, tmp_path: Path) -> None:
    env = make_atari_env(
        "BreakoutNoFrameskip-v4",
        2,
        native=native,
        seed=0,
        env_kwargs={"max_num_frames_per_episode": 80},
    )
    callback, table = RecordVideo(1, folder=tmp_path), EpisodeTable(every=1000)
    player(env).learn(50, callback=[callback, table])
    _, pictures = read_video(callback.paths[0])
    assert len(pictures) == table.rows[0].game_steps
    if native:
        assert pictures.shape[1:] == (420, 420, 3)
        assert pictures.std(axis=3).max() <= 2  # grey
    else:
        assert pictures.shape[1:] == (420, 320, 3)
        # rows of the red, orange, ochre, yellow, green and blue bricks
        bricks = pictures[0, 120:186:12, 100].astype(int)
        expected = [(200, 72, 72), (198, 108, 58), (180, 122, 48)]
        expected += [(162, 162, 42), (72, 160, 72), (66, 72, 200)]
        assert np.abs(bricks - expected).max() <= 8
    env.close()


def film_one(*others: BaseCallback, model: DQN | None = None) -> Path:
    callback = RecordVideo(1)
    (model or player(vec_env(painted))).learn(GAME, callback=[callback, *others])
    return callback.paths[0].parent


def test_films_go_into_the_folder_of_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert film_one() == Path("videos")
    logged = player(vec_env(painted))
    logged.set_logger(configure(str(tmp_path / "logged"), []))
    assert film_one(model=logged) == tmp_path / "logged/videos"
    eval_env = VecTransposeImage(vec_env(painted))
    evaluation = EvalCallback(eval_env, best_model_save_path="best", eval_freq=1000)
    assert film_one(evaluation) == Path("best/videos")
    log = CsvLog(tmp_path / "run")
    assert film_one(evaluation, log) == Path("best/videos")
    assert film_one(log, model=logged) == tmp_path / "run/videos"
    logged.logger.close()


def test_envs_that_show_nothing_are_refused_with_the_remedies() -> None:
    model = player(vec_env(partial(painted, render_mode=None)))
    with pytest.raises(ValueError, match="got None") as caught:
        model.learn(GAME, callback=RecordVideo(1))
    for remedy in (
        "gym.make(..., render_mode='rgb_array')",
        "env_kwargs={'render_mode': 'rgb_array'}",
        "--env-kwargs \"render_mode:'rgb_array'\"",
        "env_kwargs of the yml",
    ):
        assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"every_games": 0}, ValueError, "every_games must be at least 1, got 0"),
        ({"every_games": 1, "keep": 0}, ValueError, "keep must be at least 1, got 0"),
        ({"every_games": 1, "fps": -1}, ValueError, "fps must be positive, got -1"),
        ({"every_games": "ten"}, TypeError, "every_games must be an integer"),
    ],
)
def test_wrong_values_are_refused(
    settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        RecordVideo(**settings)
