"""ExactCheckpoint: when checkpoints are written, signals, rejected settings."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure

from sb3_atari_course._common.errors import SettingError
from sb3_atari_course.callbacks import CsvLog
from sb3_atari_course.checkpoints import ExactCheckpoint
from sb3_atari_course.checkpoints import callback as callback_module
from sb3_atari_course.checkpoints.callback import StopSignals
from sb3_atari_course.checkpoints.folder import CheckpointFolder
from sb3_atari_course.checkpoints.snapshot import Snapshots
from tests.checkpoints.cartpole_trainings import (
    assert_same_training,
    cartpole,
    close,
    dqn,
    learn,
    resume_run,
)
from tests.checkpoints.faults import contents
from tests.checkpoints.trainings import Interrupt, InterruptError


def steps_in(run: Path) -> list[int]:
    """Return the steps at which checkpoints were written."""
    log = (run / "checkpoints" / "log.jsonl").read_text()
    events = [json.loads(line) for line in log.splitlines()]
    return [event["step"] for event in events if event["event"] == "written"]


def test_checkpoints_are_written_every_n_steps_and_at_the_end(tmp_path: Path) -> None:
    learn(tmp_path, steps=130, every=50)
    assert steps_in(tmp_path) == [52, 100, 132]  # SB3 collects 4 steps at a time
    newest = CheckpointFolder(tmp_path / "checkpoints").newest()
    assert (newest.step, newest.n_timesteps, newest.finished) == (132, 130, True)
    assert newest.versions["torch"] == th.__version__


def test_checkpoints_do_not_change_the_training(tmp_path: Path) -> None:
    model = learn(tmp_path, steps=100)
    other = dqn(cartpole(None))
    other.learn(100)
    close(other)
    pairs = zip(model.policy.parameters(), other.policy.parameters(), strict=True)
    assert all((a == b).all() for a, b in pairs)


@pytest.mark.parametrize(
    ("every", "error"), [(0, ValueError), (-5, ValueError), (2.5, TypeError), ("9", TypeError)]
)
def test_rejects_invalid_every(every: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="every must be"):
        ExactCheckpoint(every)


def assert_rejected(callbacks: Any, model: BaseAlgorithm, message: str, **kwargs: Any) -> None:
    with pytest.raises(SettingError, match=message):
        model.learn(60, callbacks, **kwargs)
    for one in list(callback_module._LOCK_HOLDERS.values()):
        one.release()


def test_rejects_unsupported_algorithms(tmp_path: Path) -> None:
    env = cartpole(None)
    model = PPO("MlpPolicy", env, device="cpu", n_steps=8, batch_size=8)
    assert_rejected(ExactCheckpoint(folder=tmp_path), model, "DQN, .* got PPO")
    assert os.listdir(tmp_path) == []
    env.close()


def test_rejects_unsupported_replay_buffers(tmp_path: Path) -> None:
    class Ranked(ReplayBuffer):
        pass

    env = cartpole(None)
    callback = ExactCheckpoint(folder=tmp_path)
    assert_rejected(
        callback, dqn(env, replay_buffer_class=Ranked), "cannot hold a Ranked, only SB3's"
    )
    assert not CheckpointFolder(tmp_path / "checkpoints").is_used()
    env.close()


def test_default_folder_is_that_of_the_log(tmp_path: Path) -> None:
    env = cartpole(None)
    assert_rejected(ExactCheckpoint(), dqn(env), r"ExactCheckpoint\(folder=")
    model = dqn(env)
    model.set_logger(configure(str(tmp_path / "log"), []))
    model.learn(30, ExactCheckpoint())
    assert steps_in(tmp_path / "log") == [32]
    model = dqn(env)
    model.learn(30, [CsvLog(tmp_path / "csv"), ExactCheckpoint()])
    assert steps_in(tmp_path / "csv") == [32]
    close(model)


def test_two_callbacks_need_separate_folders(tmp_path: Path) -> None:
    env = cartpole(None)
    twice = [ExactCheckpoint(50, folder=tmp_path / "a") for _ in range(2)]
    assert_rejected(twice, dqn(env), "another training runs in")
    handler = signal.getsignal(signal.SIGTERM)
    dqn(env).learn(60, [ExactCheckpoint(n, folder=tmp_path / f"{n}") for n in (30, 50)])
    assert steps_in(tmp_path / "30") == [32, 60]
    assert steps_in(tmp_path / "50") == [52, 60]
    signal.signal(signal.SIGTERM, handler)
    with pytest.raises(KeyboardInterrupt):  # a handler that is still installed passes it on
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    env.close()


def test_rejects_a_folder_with_checkpoints_of_another_training(tmp_path: Path) -> None:
    learn(tmp_path, steps=60)
    before, env = contents(tmp_path), cartpole(None)
    message = r"has the checkpoints of another training: .* `python -m .* resume .*`"
    assert_rejected(ExactCheckpoint(folder=tmp_path), dqn(env), message)
    assert contents(tmp_path) == before
    assert not CheckpointFolder(tmp_path / "checkpoints").is_used()
    env.close()


def test_second_learn_continues_in_the_folder(tmp_path: Path) -> None:
    uninterrupted, twice = tmp_path / "uninterrupted", tmp_path / "twice"
    for folder, step in ((uninterrupted, None), (twice, 150)):
        model, callback = dqn(cartpole(folder)), ExactCheckpoint(40, folder=folder)
        model.learn(100, callback)
        if step is None:
            model.learn(100, callback, reset_num_timesteps=False)
        else:
            with pytest.raises(InterruptError):
                model.learn(100, [callback, Interrupt(150)], reset_num_timesteps=False)
        close(model)
    assert steps_in(uninterrupted) == [40, 80, 100, 120, 160, 200]
    resume_run(twice)
    assert CheckpointFolder(twice / "checkpoints").newest().n_timesteps == 200
    assert_same_training(uninterrupted, twice)


def test_folder_of_a_training_without_checkpoints_can_be_reused(tmp_path: Path) -> None:
    env = cartpole(None)
    with pytest.raises(InterruptError):
        dqn(env, gamma=0.5).learn(100, [ExactCheckpoint(90, folder=tmp_path), Interrupt(50)])
    env.close()
    learn(tmp_path, interrupt_at=150)  # another training, which is resumed with its settings
    assert resume_run(tmp_path).gamma == 0.99


class RaiseSignal(BaseCallback):
    """Raises a signal in this process at a given step."""

    is_stateless = True

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.step, self.number = step, number

    def _on_step(self) -> bool:
        if self.num_timesteps == self.step:
            signal.raise_signal(self.number)
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_training_with_a_checkpoint(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uninterrupted, run = tmp_path / "uninterrupted", tmp_path / "run"
    learn(uninterrupted)
    handler = signal.getsignal(number)
    model, callback = dqn(cartpole(run)), ExactCheckpoint(40, folder=run)
    model.learn(200, [RaiseSignal(101, number), callback])
    close(model)
    assert callback.stop_signal == number
    assert steps_in(run) == [40, 80, 104]
    assert model.num_timesteps == 105  # SB3 reads the callback's return value after a step
    assert signal.getsignal(number) is handler
    assert f"104. To resume: sb3_atari_course.resume({str(run)!r}, ...)" in capsys.readouterr().out
    resume_run(run)
    assert_same_training(uninterrupted, run)


def test_memory_error_in_a_checkpoint_does_not_stop_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def take(*args: Any, **kwargs: Any) -> Any:
        raise MemoryError("a lot")

    monkeypatch.setattr(Snapshots, "take", take)
    learn(tmp_path, steps=60)
    first, *_ = capsys.readouterr().out.splitlines()
    assert "step 40 could not be written (a lot)" in first


def test_training_ended_by_another_callback_is_not_finished(tmp_path: Path) -> None:
    class StopAt100(BaseCallback):
        is_stateless = True

        def _on_step(self) -> bool:
            return self.num_timesteps < 100

    learn(tmp_path, StopAt100())
    newest = CheckpointFolder(tmp_path / "checkpoints").newest()
    assert (newest.step, newest.finished) == (80, False)
    assert not CheckpointFolder(tmp_path / "checkpoints").is_used()


def test_reused_callback_writes_to_the_resumed_run(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    learn(second, interrupt_at=150)
    model, callback = dqn(cartpole(first)), ExactCheckpoint(40, folder=first)
    model.learn(60, callback)
    close(model)
    before = contents(first)
    resume_run(second, callback=callback)
    assert contents(first) == before
    assert steps_in(second) == [40, 80, 120, 160, 200]


# Signals

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class PreviousHandler:
    """Signal handler installed before training, which records signals."""

    def __init__(self) -> None:
        self.got: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.got.append(number)


@pytest.fixture
def before() -> Iterator[PreviousHandler]:
    handler, old = PreviousHandler(), [signal.getsignal(number) for number in SIGNALS]
    for number in SIGNALS:
        signal.signal(number, handler)
    yield handler
    for number, one in zip(SIGNALS, old, strict=True):
        signal.signal(number, one)


def running() -> StopSignals:
    signals = StopSignals()
    signals.listen()
    return signals


@pytest.mark.parametrize("number", SIGNALS)
def test_first_signal_sets_a_flag_and_second_is_handled_as_before(
    number: int, before: PreviousHandler, capfd: pytest.CaptureFixture[str]
) -> None:
    signals = running()
    signal.raise_signal(number)
    assert signals.received == number
    assert before.got == []
    name = signal.Signals(number).name
    assert capfd.readouterr().err.startswith(f"\n{name}: stopping after this rollout")
    signal.raise_signal(number)
    assert before.got == [number]
    assert signal.getsignal(number) is before


def test_nested_handlers_are_released_in_any_order(
    before: PreviousHandler,
) -> None:
    first, second = running(), running()
    first.release()  # leaves the second handler installed
    assert signal.getsignal(signal.SIGINT) == second._receive
    second.release()  # restores the first handler, which is already released
    signal.raise_signal(signal.SIGINT)
    assert first.received is None
    assert before.got == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is before


def test_signals_are_handled_again_after_a_failed_training(before: PreviousHandler) -> None:
    signals = running()
    signal.signal(signal.SIGINT, before)  # as in a notebook after each cell
    signals.listen()
    signal.raise_signal(signal.SIGINT)
    assert signals.received == signal.SIGINT
    signals.release()
    assert signal.getsignal(signal.SIGINT) is before


def test_ignored_signals_stay_ignored(before: PreviousHandler) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # like nohup
    signals = running()
    signal.raise_signal(signal.SIGINT)
    assert signals.received is None
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_do_not_install_handlers(before: PreviousHandler) -> None:
    made: list[Any] = []
    thread = threading.Thread(target=lambda: made.append(running()))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before
    made[0].release()
    signals = running()
    thread = threading.Thread(target=signals.release)  # cannot restore handlers, but does not fail
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) == signals._receive
    signals.release()
    assert signal.getsignal(signal.SIGINT) is before


def test_closed_terminal_does_not_prevent_the_stop(before: PreviousHandler) -> None:
    signals, stderr = running(), os.dup(2)
    os.close(2)
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    assert signals.received == signal.SIGTERM
