"""A Python training goes on with what is passed, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EvalCallback
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from benchmarks.run_differences import memory_arrays, newest
from sb3_atari_course.callbacks import StopOnMovingAverage
from sb3_atari_course.checkpoints import ExactCheckpoint, resume
from sb3_atari_course.checkpoints.folder import CheckpointFolder
from tests.checkpoints.faults import contents
from tests.checkpoints.small import (
    STEPS,
    arrays_of,
    assert_same_training,
    dqn,
    go_on,
    learn,
    poles,
)
from tests.checkpoints.trainings import CutError, CutOff


def refused(run: Path, message: str, env: Any = None, **kwargs: Any) -> None:
    """Assert that a run is not gone on with, and that nothing of it is altered."""
    before = contents(run)
    with pytest.raises(ValueError, match=message):
        go_on(run, env, **kwargs)
    assert contents(run) == before
    assert not CheckpointFolder(run / "checkpoints").is_used()


def test_calls_of_earlier_versions_say_what_to_pass(run: Path) -> None:
    before = contents(run)
    env: Any = poles(None)
    for model in (None, env):
        with pytest.raises(TypeError, match=r"resume\('.*', DQN\(\.\.\.\)\)"):
            resume(run, model)
    with pytest.raises(TypeError, match="env"):
        resume(run, env=env)  # type: ignore[call-arg]
    assert contents(run) == before
    env.close()


def test_the_end_says_where_it_went_on(
    run: Path, peace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = go_on(run)
    assert capsys.readouterr().out == "Resumed at step 120 of 200\n"
    assert model.num_timesteps == STEPS
    assert_same_training(peace, run)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: poles(None, n_envs=2), "n_envs was 1, here it is 2"),
        (
            lambda: poles(None, env_id="OtherPole-v1"),
            "env was CartPole-v1, here it is OtherPole-v1",
        ),
        (lambda: poles(None, env_id="Acrobot-v1"), "observations was Box"),
    ],
)
def test_another_env_is_refused(
    make: Callable[[], VecEnv], message: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(gym.spec("CartPole-v1"), id="OtherPole-v1")
    monkeypatch.setitem(gym.registry, "OtherPole-v1", other)
    message = f"is of another training: {message}.*: build model and env as the first time"
    refused(run, message, make())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"policy_kwargs": {"net_arch": [9]}},
            "other weights than the model: build it with the sa",
        ),
        ({"policy_kwargs": {"net_arch": [8, 8]}}, "other weights than the model"),
        ({"buffer_size": 91}, "saved with n_rows=90, here it is 91: build the model as the first"),
        ({"n_steps": 3}, "replay_buffer was ReplayBuffer, here it is NStepReplayBuffer"),
    ],
)
def test_another_model_is_refused(settings: dict[str, Any], message: str, run: Path) -> None:
    env = poles(None)
    refused(run, message, env, model=dqn(env, **settings))


def test_another_algorithm_is_refused(run: Path) -> None:
    env = poles(None)
    model = QRDQN("MlpPolicy", env, device="cpu", buffer_size=90)
    message = r"algorithm was stable_baselines3\.dqn\.dqn\.DQN, here it is sb3_contrib\.qrdqn"
    refused(run, message, env, model=model)


def evaluation(folder: Path) -> EvalCallback:
    return EvalCallback(
        poles(None, seed=7), eval_freq=50, n_eval_episodes=2, log_path=str(folder), verbose=0
    )


def test_other_callbacks_are_refused(run: Path) -> None:
    callback = evaluation(run)
    message = "had the callbacks none, here they are EvalCallback: pass the same ones"
    refused(run, message, callback=callback)
    callback.eval_env.close()


@pytest.mark.parametrize("as_list", [False, True])
def test_callbacks_go_on(as_list: bool, tmp_path: Path) -> None:
    class Watched(ExactCheckpoint):
        pass

    peace, run = tmp_path / "peace", tmp_path / "run"
    for folder, end in ((peace, None), (run, 150)):
        callbacks = [evaluation(folder), StopOnMovingAverage(10**6, window=3)]
        learn(folder, *callbacks, cut=end)
        callbacks[0].eval_env.close()  # type: ignore[attr-defined]
    again: list[BaseCallback] = [evaluation(run), StopOnMovingAverage(10**6, window=3)]
    own = Watched(40)
    if as_list:  # ours need not be told, wherever it is
        go_on(run, callback=CallbackList([CallbackList(again), own]))
        assert own._checkpoints is not None
    else:
        go_on(run, callback=again)
    again[0].eval_env.close()  # type: ignore[attr-defined]
    assert_same_training(peace, run)
    evaluations = [arrays_of(one) for one in (peace, run)]
    assert evaluations[0]["timesteps"].tolist() == [50, 100, 150, 200]
    for name, array in evaluations[0].items():
        assert (array == evaluations[1][name]).all()


def test_a_training_stops_at_the_same_game(tmp_path: Path) -> None:
    ends = []
    for end in (None, 60):
        run = tmp_path / str(end)
        callback = StopOnMovingAverage(25, window=2, verbose=0)
        model = learn(run, callback, cut=end, steps=1000)
        if end is not None:
            callback = StopOnMovingAverage(25, window=2, verbose=0)
            model = go_on(run, callback=callback)
        ends.append((model.num_timesteps, callback.n_games))
    assert ends[0] == ends[1]
    assert 60 < ends[0][0] < 1000


def test_a_function_as_a_schedule_comes_with_the_model(tmp_path: Path) -> None:
    peace, run = tmp_path / "peace", tmp_path / "run"
    settings: dict[str, Any] = {"learning_rate": lambda progress: 1e-2 * progress}
    for folder, end in ((peace, None), (run, 150)):
        learn(folder, model=dqn(poles(folder), **settings), cut=end)
    go_on(run, model=dqn(poles(run, again=True), **settings))
    assert_same_training(peace, run)


@pytest.mark.parametrize("end", [None, 150])
def test_in_a_longer_training_schedules_stay_at_their_end(end: int | None, tmp_path: Path) -> None:
    learn(tmp_path, cut=end)
    model = go_on(tmp_path, n_timesteps=300)
    assert model.num_timesteps == 300
    assert model.exploration_rate == 0.05
    assert model._current_progress_remaining == 0
    checkpoint = newest(tmp_path)
    assert (checkpoint.n_timesteps, checkpoint.step, checkpoint.finished) == (300, 300, True)


def test_a_shorter_training_keeps_its_schedules(run: Path) -> None:
    model = go_on(run, n_timesteps=160)
    assert model.num_timesteps == 160
    assert model._current_progress_remaining == pytest.approx(1 - 160 / 200)
    assert (newest(run).step, newest(run).n_timesteps, newest(run).finished) == (160, 200, True)
    assert go_on(run).num_timesteps == 200  # as it was planned


@pytest.mark.parametrize("n", [-1, 0])
def test_n_timesteps_is_a_number(n: int, run: Path) -> None:
    refused(run, "n_timesteps must be at least 1", n_timesteps=n)


def test_a_finished_run_is_not_resumed(peace: Path, run: Path) -> None:
    refused(peace, "is at step 200 already, 200 are asked for: to train longer ask for more")
    refused(run, "is at step 120 already, 120 are asked for", n_timesteps=120)


def test_other_versions_of_packages_are_told(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = CheckpointFolder(run / "checkpoints")
    one = checkpoints.newest()
    assert {"python", "torch", "stable-baselines3", "ale-py", "numpy"} < set(one.versions)
    one.versions.update({"torch": "1.0", "left": "3"})
    checkpoints.write(one)
    go_on(run)
    assert "torch 1.0 is" in capsys.readouterr().out


def test_a_checkpoint_of_another_format_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sb3_atari_course.checkpoints.folder.VERSION", 9)
    refused(run, "has format 4, .* reads format 9")


def test_averages_of_vec_normalize_go_on(tmp_path: Path) -> None:
    def normalized(folder: Path, again: bool = False) -> VecNormalize:
        return VecNormalize(poles(folder, again=again))

    peace, run = tmp_path / "peace", tmp_path / "run"
    for folder, end in ((peace, None), (run, 150)):
        learn(folder, model=dqn(normalized(folder)), cut=end)
    go_on(run, normalized(run, again=True))
    assert_same_training(peace, run)


def test_a_run_of_the_zoo_is_resumed_by_the_command(run: Path) -> None:
    checkpoints = CheckpointFolder(run / "checkpoints")
    one = checkpoints.newest()
    one.begun["experiment"] = "rl_zoo3.exp_manager.ExperimentManager"
    checkpoints.write(one)
    refused(run, "is a run of RL Zoo, .*: `python -m sb3_atari_course resume .*`")


def test_memory_is_that_of_the_checkpoint(run: Path) -> None:
    env = poles(None)
    buffer: Any = dqn(env).replay_buffer
    assert sum(1 for _ in memory_arrays(run, buffer)) == 90 * 6
    env.close()
    assert np.isin(buffer.dones, (0, 1)).all()


def test_it_can_be_cut_off_in_every_rollout(peace: Path, tmp_path: Path) -> None:
    learn(tmp_path, cut=50)
    for cut in range(60, 200, 10):
        callback = CutOff(cut)
        env = poles(tmp_path, again=True)
        with pytest.raises(CutError):
            go_on(tmp_path, env, callback=[callback, ExactCheckpoint(8)])
    go_on(tmp_path)
    assert_same_training(peace, tmp_path)


def test_threads_and_a_progress_bar_can_be_asked_for(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    learn = DQN.learn

    def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append((th.get_num_threads(), kwargs["progress_bar"]))
        return learn(self, *args, **{**kwargs, "progress_bar": False})

    monkeypatch.setattr(DQN, "learn", spy)
    go_on(run, num_threads=2, progress=True)
    go_on(run, n_timesteps=STEPS + 40)
    th.set_num_threads(1)
    assert seen == [(2, True), (1, False)]


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"num_threads": 0}, ValueError, "num_threads .* 0"),
        ({"num_threads": 1.5}, TypeError, r"num_threads .* 1\.5"),
        ({"progress": "no"}, TypeError, "progress .* 'no'"),
    ],
)
def test_a_wrong_argument_alters_nothing(
    kwargs: dict[str, Any], error: type[Exception], message: str, run: Path
) -> None:
    before = contents(run)
    with pytest.raises(error, match=message):
        go_on(run, poles(None), **kwargs)
    assert contents(run) == before
