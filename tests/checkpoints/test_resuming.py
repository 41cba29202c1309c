"""A Python training goes on with what is passed, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import torch as th
from sb3_contrib import QRDQN
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EvalCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecNormalize

from benchmarks.run_differences import differing_rows, newest
from sb3_atari_course.callbacks import StopOnMovingAverage
from sb3_atari_course.checkpoints import ExactCheckpoint, resume
from sb3_atari_course.checkpoints.folder import CheckpointFolder
from tests.checkpoints.faults import contents
from tests.checkpoints.small import (
    STEPS,
    arrays_of,
    assert_same_games,
    assert_same_training,
    close,
    dqn,
    go_on,
    learn,
    learn_twice,
    poles,
)
from tests.checkpoints.trainings import CutError, CutOff, assert_same_end


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
    ("build", "message"),
    [
        (lambda: dqn(poles(None, n_envs=2)), "n_envs was 1, here it is 2"),
        (
            lambda: dqn(poles(None, env_id="OtherPole-v1")),
            "env was CartPole-v1, here it is OtherPole-v1",
        ),
        (lambda: dqn(poles(None, env_id="Acrobot-v1")), "observations was Box"),
        (lambda: dqn(poles(None), policy_kwargs={"net_arch": [9]}), "other weights"),
        (lambda: dqn(poles(None), policy_kwargs={"net_arch": [8, 8]}), "other weights"),
        (lambda: dqn(poles(None), buffer_size=91), "n_rows=90, here it is 91"),
        (lambda: dqn(poles(None), n_steps=3), "replay_buffer was ReplayBuffer, here it is NStep"),
        (
            lambda: QRDQN("MlpPolicy", poles(None), device="cpu", buffer_size=90),
            r"algorithm was stable_baselines3\.dqn\.dqn\.DQN, here it is sb3_contrib\.qrdqn",
        ),
    ],
)
def test_another_model_or_env_is_refused(
    build: Callable[[], BaseAlgorithm], message: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(gym.spec("CartPole-v1"), id="OtherPole-v1")
    monkeypatch.setitem(gym.registry, "OtherPole-v1", other)
    refused(run, message, model=build())


def test_other_callbacks_are_refused(run: Path) -> None:
    env = poles(None)
    refused(run, "callbacks none, here they are EvalCallback", callback=EvalCallback(env))
    env.close()


@pytest.mark.parametrize("as_list", [False, True])
def test_callbacks_and_their_environments_continue(as_list: bool, tmp_path: Path) -> None:
    def beside(folder: Path, again: bool = False) -> list[BaseCallback]:
        env = poles(folder / "e", seed=7, again=again)
        callback = EvalCallback(
            env, eval_freq=50, n_eval_episodes=2, log_path=str(folder), verbose=0
        )
        to_close.append(env)
        return [callback, StopOnMovingAverage(10**6, window=3)]

    to_close: list[Any] = []
    peace, run = learn_twice(tmp_path, beside=beside)
    own = ExactCheckpoint(40)
    callbacks: Any = beside(run, again=True)
    if as_list:  # ours need not be passed, wherever it is
        callbacks = CallbackList([CallbackList(callbacks), own])
    go_on(run, callback=callbacks)
    assert (own._checkpoints is not None) == as_list
    for env in to_close:
        env.close()
    assert_same_training(peace, run)
    evaluations = [arrays_of(one) for one in (peace, run)]
    assert evaluations[0]["timesteps"].tolist() == [50, 100, 150, 200]
    for name, array in evaluations[0].items():
        assert (array == evaluations[1][name]).all()
    assert differing_rows(peace / "e", run / "e", "*.monitor.csv") == 0


class CountsRollouts(BaseCallback):
    n_rollouts = 0

    def _on_rollout_start(self) -> None:
        self.n_rollouts += 1
        self.logger.record("count", f"{self.n_rollouts}\nrollouts")

    def _on_step(self) -> bool:
        return True


def test_callbacks_stand_where_they_stood(tmp_path: Path) -> None:
    """One behind ours records before our next checkpoint; its strings have line ends in them."""

    def train(folder: Path, cut: int | None = None) -> None:
        model = dqn(poles(folder))
        model.set_logger(configure(str(folder), ["csv"]))
        callbacks = [ExactCheckpoint(40, folder=folder), CountsRollouts()]
        try:
            model.learn(STEPS, callbacks + ([CutOff(cut)] if cut else []), log_interval=1)
        except CutError:
            callbacks[0].let_go()  # type: ignore[attr-defined]
        close(model)

    train(tmp_path / "peace")
    train(tmp_path / "run", cut=150)
    go_on(tmp_path / "run", callback=CountsRollouts())
    assert_same_training(tmp_path / "peace", tmp_path / "run")
    assert differing_rows(tmp_path / "peace", tmp_path / "run", "progress.csv") == 0


def test_the_interrupted_model_itself_can_continue(peace: Path, tmp_path: Path) -> None:
    model = dqn(poles(tmp_path))
    with pytest.raises(CutError):
        model.learn(STEPS, [ExactCheckpoint(40, folder=tmp_path), CutOff(150)])
    go_on(tmp_path, model=model)  # its files are still open
    assert_same_training(peace, tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        {"learning_rate": lambda progress: 1e-2 * progress},
        {
            "optimize_memory_usage": True,
            "replay_buffer_kwargs": {"handle_timeout_termination": False},
        },
        {"replay_buffer_class": NStepReplayBuffer, "replay_buffer_kwargs": {"n_steps": 3}},
        {"n_steps": 3},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_settings_come_with_the_model(settings: dict[str, Any], tmp_path: Path) -> None:
    peace, run = learn_twice(tmp_path, lambda folder: dqn(poles(folder), **settings))
    go_on(run, model=dqn(poles(run, again=True), **settings))
    assert_same_end(peace, run)
    assert_same_games(peace, run)


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
    checkpoints.write(one, checkpoints.read_state(one))
    go_on(run)
    assert "torch 1.0 is" in capsys.readouterr().out


def test_averages_of_vec_normalize_continue(tmp_path: Path) -> None:
    peace, run = learn_twice(tmp_path, lambda folder: dqn(VecNormalize(poles(folder))))
    go_on(run, VecNormalize(poles(run, again=True)))
    assert_same_training(peace, run)


def test_a_run_of_the_zoo_is_resumed_by_the_command(run: Path) -> None:
    checkpoints = CheckpointFolder(run / "checkpoints")
    one = checkpoints.newest()
    one.begun["experiment"] = "rl_zoo3.exp_manager.ExperimentManager"
    checkpoints.write(one, checkpoints.read_state(one))
    refused(run, "is a run of RL Zoo, .*: `python -m sb3_atari_course resume .*`")


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
        ({"n_timesteps": 0}, ValueError, "n_timesteps .* 0"),
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
