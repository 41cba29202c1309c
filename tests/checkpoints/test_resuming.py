"""resume(): restores training from Python; rejects models and callbacks that do not match."""

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
from tests.checkpoints.cartpole_trainings import (
    STEPS,
    arrays_of,
    assert_same_games,
    assert_same_training,
    cartpole,
    close,
    dqn,
    learn,
    learn_twice,
    resume_run,
)
from tests.checkpoints.faults import contents
from tests.checkpoints.trainings import Interrupt, InterruptError, assert_same_end


def assert_rejected(run: Path, message: str, env: Any = None, **kwargs: Any) -> None:
    """Assert that a run cannot be resumed and that its files are unchanged."""
    before = contents(run)
    with pytest.raises(ValueError, match=message):
        resume_run(run, env, **kwargs)
    assert contents(run) == before
    assert not CheckpointFolder(run / "checkpoints").is_used()


def test_rejects_missing_model(run: Path) -> None:
    before = contents(run)
    env: Any = cartpole(None)
    for model in (None, env):
        with pytest.raises(TypeError, match=r"resume\('.*', DQN\(\.\.\.\)\)"):
            resume(run, model)
    with pytest.raises(TypeError, match="env"):
        resume(run, env=env)  # type: ignore[call-arg]
    assert contents(run) == before
    env.close()


def test_resume_prints_the_step_and_completes_the_training(
    run: Path, uninterrupted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = resume_run(run)
    assert capsys.readouterr().out == "Resumed at step 120 of 200\n"
    assert model.num_timesteps == STEPS
    assert_same_training(uninterrupted, run)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: dqn(cartpole(None, n_envs=2)), "n_envs was 1, here it is 2"),
        (
            lambda: dqn(cartpole(None, env_id="OtherPole-v1")),
            "env was CartPole-v1, here it is OtherPole-v1",
        ),
        (lambda: dqn(cartpole(None, env_id="Acrobot-v1")), "observations was Box"),
        (lambda: dqn(cartpole(None), policy_kwargs={"net_arch": [9]}), "weights of the checkpoint"),
        (
            lambda: dqn(cartpole(None), policy_kwargs={"net_arch": [8, 8]}),
            "weights of the checkpoint",
        ),
        (lambda: dqn(cartpole(None), buffer_size=91), "n_rows=90, here it is 91"),
        (
            lambda: dqn(cartpole(None), n_steps=3),
            "replay_buffer was ReplayBuffer, here it is NStep",
        ),
        (
            lambda: QRDQN("MlpPolicy", cartpole(None), device="cpu", buffer_size=90),
            r"algorithm was stable_baselines3\.dqn\.dqn\.DQN, here it is sb3_contrib\.qrdqn",
        ),
    ],
)
def test_rejects_another_model_or_env(
    build: Callable[[], BaseAlgorithm], message: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(gym.spec("CartPole-v1"), id="OtherPole-v1")
    monkeypatch.setitem(gym.registry, "OtherPole-v1", other)
    assert_rejected(run, message, model=build())


def test_rejects_other_callbacks(run: Path) -> None:
    env = cartpole(None)
    assert_rejected(run, "callbacks none, here they are EvalCallback", callback=EvalCallback(env))
    env.close()


@pytest.mark.parametrize("as_list", [False, True])
def test_callbacks_and_their_environments_are_restored(as_list: bool, tmp_path: Path) -> None:
    def other_callbacks(folder: Path, again: bool = False) -> list[BaseCallback]:
        env = cartpole(folder / "e", seed=7, again=again)
        callback = EvalCallback(
            env, eval_freq=50, n_eval_episodes=2, log_path=str(folder), verbose=0
        )
        to_close.append(env)
        return [callback, StopOnMovingAverage(10**6, window=3)]

    to_close: list[Any] = []
    uninterrupted, run = learn_twice(tmp_path, other_callbacks=other_callbacks)
    own = ExactCheckpoint(40)
    callbacks: Any = other_callbacks(run, again=True)
    if as_list:  # without it, ExactCheckpoint is added automatically
        callbacks = CallbackList([CallbackList(callbacks), own])
    resume_run(run, callback=callbacks)
    assert (own._checkpoints is not None) == as_list
    for env in to_close:
        env.close()
    assert_same_training(uninterrupted, run)
    evaluations = [arrays_of(one) for one in (uninterrupted, run)]
    assert evaluations[0]["timesteps"].tolist() == [50, 100, 150, 200]
    for name, array in evaluations[0].items():
        assert (array == evaluations[1][name]).all()
    assert differing_rows(uninterrupted / "e", run / "e", "*.monitor.csv") == 0


class CountsRollouts(BaseCallback):
    n_rollouts = 0

    def _on_rollout_start(self) -> None:
        self.n_rollouts += 1
        self.logger.record("count", f"{self.n_rollouts}\nrollouts")

    def _on_step(self) -> bool:
        return True


def test_callback_order_is_restored(tmp_path: Path) -> None:
    """A later callback logs before the next checkpoint, with line ends in its strings."""

    def train(folder: Path, interrupt_at: int | None = None) -> None:
        model = dqn(cartpole(folder))
        model.set_logger(configure(str(folder), ["csv"]))
        callbacks = [ExactCheckpoint(40, folder=folder), CountsRollouts()]
        interrupts = [Interrupt(interrupt_at)] if interrupt_at else []
        try:
            model.learn(STEPS, [*callbacks, *interrupts], log_interval=1)
        except InterruptError:
            callbacks[0].release()  # type: ignore[attr-defined]
        close(model)

    train(tmp_path / "uninterrupted")
    train(tmp_path / "run", interrupt_at=150)
    resume_run(tmp_path / "run", callback=CountsRollouts())
    assert_same_training(tmp_path / "uninterrupted", tmp_path / "run")
    assert differing_rows(tmp_path / "uninterrupted", tmp_path / "run", "progress.csv") == 0


def test_interrupted_model_can_be_resumed_in_place(uninterrupted: Path, tmp_path: Path) -> None:
    model = dqn(cartpole(tmp_path))
    with pytest.raises(InterruptError):
        model.learn(STEPS, [ExactCheckpoint(40, folder=tmp_path), Interrupt(150)])
    resume_run(tmp_path, model=model)  # its log files are still open
    assert_same_training(uninterrupted, tmp_path)


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
def test_hyperparameters_come_from_the_model(settings: dict[str, Any], tmp_path: Path) -> None:
    uninterrupted, run = learn_twice(tmp_path, lambda folder: dqn(cartpole(folder), **settings))
    resume_run(run, model=dqn(cartpole(run, again=True), **settings))
    assert_same_end(uninterrupted, run)
    assert_same_games(uninterrupted, run)


@pytest.mark.parametrize("end", [None, 150])
def test_extended_training_keeps_final_schedule_values(end: int | None, tmp_path: Path) -> None:
    learn(tmp_path, interrupt_at=end)
    model = resume_run(tmp_path, n_timesteps=300)
    assert model.num_timesteps == 300
    assert model.exploration_rate == 0.05
    assert model._current_progress_remaining == 0
    checkpoint = newest(tmp_path)
    assert (checkpoint.n_timesteps, checkpoint.step, checkpoint.finished) == (300, 300, True)


def test_shorter_training_keeps_its_schedules(run: Path) -> None:
    model = resume_run(run, n_timesteps=160)
    assert model.num_timesteps == 160
    assert model._current_progress_remaining == pytest.approx(1 - 160 / 200)
    assert (newest(run).step, newest(run).n_timesteps, newest(run).finished) == (160, 200, True)
    assert resume_run(run).num_timesteps == 200  # the original number of steps


def test_rejects_finished_runs(uninterrupted: Path, run: Path) -> None:
    assert_rejected(uninterrupted, "is already at step 200 of 200")
    assert_rejected(run, "is already at step 120 of 120", n_timesteps=120)


def test_prints_changed_package_versions(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = CheckpointFolder(run / "checkpoints")
    one = checkpoints.newest()
    assert {"python", "torch", "stable-baselines3", "ale-py", "numpy"} < set(one.versions)
    one.versions.update({"torch": "1.0", "left": "3"})
    checkpoints.write(one, checkpoints.read_state(one))
    resume_run(run)
    assert "torch 1.0 ->" in capsys.readouterr().out


def test_vec_normalize_statistics_are_restored(tmp_path: Path) -> None:
    uninterrupted, run = learn_twice(tmp_path, lambda folder: dqn(VecNormalize(cartpole(folder))))
    resume_run(run, VecNormalize(cartpole(run, again=True)))
    assert_same_training(uninterrupted, run)


def test_rejects_runs_of_rl_zoo(run: Path) -> None:
    checkpoints = CheckpointFolder(run / "checkpoints")
    one = checkpoints.newest()
    one.begun["experiment"] = "rl_zoo3.exp_manager.ExperimentManager"
    checkpoints.write(one, checkpoints.read_state(one))
    assert_rejected(run, "is a run of RL Zoo.*`python -m sb3_atari_course resume .*`")


def test_resumes_after_repeated_interruptions(uninterrupted: Path, tmp_path: Path) -> None:
    learn(tmp_path, interrupt_at=50)
    for step in range(60, 200, 10):
        callback = Interrupt(step)
        env = cartpole(tmp_path, again=True)
        with pytest.raises(InterruptError):
            resume_run(tmp_path, env, callback=[callback, ExactCheckpoint(8)])
    resume_run(tmp_path)
    assert_same_training(uninterrupted, tmp_path)


def test_num_threads_and_progress_are_passed_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    learn = DQN.learn

    def spy(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append((th.get_num_threads(), kwargs["progress_bar"]))
        return learn(self, *args, **{**kwargs, "progress_bar": False})

    monkeypatch.setattr(DQN, "learn", spy)
    resume_run(run, num_threads=2, progress=True)
    resume_run(run, n_timesteps=STEPS + 40)
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
def test_invalid_arguments_change_nothing(
    kwargs: dict[str, Any], error: type[Exception], message: str, run: Path
) -> None:
    before = contents(run)
    with pytest.raises(error, match=message):
        resume_run(run, cartpole(None), **kwargs)
    assert contents(run) == before


def test_early_stopping_is_restored(tmp_path: Path) -> None:
    ends = []
    for end in (None, 60):
        run = tmp_path / str(end)
        callback = StopOnMovingAverage(25, window=2, verbose=0)
        model = learn(run, callback, interrupt_at=end, steps=1000)
        if end is not None:
            callback = StopOnMovingAverage(25, window=2, verbose=0)
            model = resume_run(run, callback=callback)
        ends.append((model.num_timesteps, callback.n_games))
    assert ends[0] == ends[1]
    assert 60 < ends[0][0] < 1000
