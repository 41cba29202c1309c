"""When checkpoints are written, and what ExactCheckpoint refuses."""

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
from tests.checkpoints.faults import contents
from tests.checkpoints.small import assert_same_training, close, dqn, go_on, learn, poles
from tests.checkpoints.trainings import CutError, CutOff


def steps_in(run: Path) -> list[int]:
    """Return the steps of all checkpoints that were written."""
    log = (run / "checkpoints" / "log.jsonl").read_text()
    events = [json.loads(line) for line in log.splitlines()]
    return [event["step"] for event in events if event["event"] == "written"]


def test_checkpoints_come_after_every_so_many_steps_and_at_the_end(tmp_path: Path) -> None:
    learn(tmp_path, steps=130, every=50)
    assert steps_in(tmp_path) == [52, 100, 132]  # SB3 collects 4 steps at a time
    newest = CheckpointFolder(tmp_path / "checkpoints").newest()
    assert (newest.step, newest.n_timesteps, newest.finished) == (132, 130, True)
    assert newest.versions["torch"] == th.__version__


def test_equal_trainings_with_and_without_checkpoints_are_equal(tmp_path: Path) -> None:
    model = learn(tmp_path, steps=100)
    other = dqn(poles(None))
    other.learn(100)
    close(other)
    pairs = zip(model.policy.parameters(), other.policy.parameters(), strict=True)
    assert all((a == b).all() for a, b in pairs)


@pytest.mark.parametrize(
    ("every", "error"), [(0, ValueError), (-5, ValueError), (2.5, TypeError), ("9", TypeError)]
)
def test_every_is_a_number_of_steps(every: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="every must be"):
        ExactCheckpoint(every)


def refused(callbacks: Any, model: BaseAlgorithm, message: str, **kwargs: Any) -> None:
    with pytest.raises(SettingError, match=message):
        model.learn(60, callbacks, **kwargs)
    for one in list(callback_module._HOLDERS.values()):
        one.let_go()


def test_an_algorithm_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    env = poles(None)
    model = PPO("MlpPolicy", env, device="cpu", n_steps=8, batch_size=8)
    refused(ExactCheckpoint(folder=tmp_path), model, "DQN, .* got PPO")
    assert os.listdir(tmp_path) == []
    env.close()


def test_a_memory_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    class Ranked(ReplayBuffer):
        pass

    env = poles(None)
    callback = ExactCheckpoint(folder=tmp_path)
    refused(callback, dqn(env, replay_buffer_class=Ranked), "cannot hold a Ranked, only SB3's")
    assert not CheckpointFolder(tmp_path / "checkpoints").is_used()
    env.close()


def test_without_a_folder_it_is_that_of_the_log_or_refused(tmp_path: Path) -> None:
    env = poles(None)
    refused(ExactCheckpoint(), dqn(env), r"ExactCheckpoint\(folder=")
    model = dqn(env)
    model.set_logger(configure(str(tmp_path / "log"), []))
    model.learn(30, ExactCheckpoint())
    assert steps_in(tmp_path / "log") == [32]
    model = dqn(env)
    model.learn(30, [CsvLog(tmp_path / "csv"), ExactCheckpoint()])
    assert steps_in(tmp_path / "csv") == [32]
    close(model)


def test_two_in_one_list_need_two_folders(tmp_path: Path) -> None:
    env = poles(None)
    twice = [ExactCheckpoint(50, folder=tmp_path / "a") for _ in range(2)]
    refused(twice, dqn(env), "another training runs in")
    handler = signal.getsignal(signal.SIGTERM)
    dqn(env).learn(60, [ExactCheckpoint(n, folder=tmp_path / f"{n}") for n in (30, 50)])
    assert steps_in(tmp_path / "30") == [32, 60]
    assert steps_in(tmp_path / "50") == [52, 60]
    signal.signal(signal.SIGTERM, handler)
    with pytest.raises(KeyboardInterrupt):  # whoever of them has it still hands it on
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    env.close()


def test_a_folder_with_checkpoints_of_another_training_is_refused(tmp_path: Path) -> None:
    learn(tmp_path, steps=60)
    before, env = contents(tmp_path), poles(None)
    message = r"has the checkpoints of another training: .* `python -m .* resume .*`"
    refused(ExactCheckpoint(folder=tmp_path), dqn(env), message)
    assert contents(tmp_path) == before
    assert not CheckpointFolder(tmp_path / "checkpoints").is_used()
    env.close()


def test_a_second_learn_goes_on_in_the_folder(tmp_path: Path) -> None:
    peace, twice = tmp_path / "peace", tmp_path / "twice"
    for folder, cut in ((peace, None), (twice, 150)):
        model, callback = dqn(poles(folder)), ExactCheckpoint(40, folder=folder)
        model.learn(100, callback)
        if cut is None:
            model.learn(100, callback, reset_num_timesteps=False)
        else:
            with pytest.raises(CutError):
                model.learn(100, [callback, CutOff(150)], reset_num_timesteps=False)
        close(model)
    assert steps_in(peace) == [40, 80, 100, 120, 160, 200]
    go_on(twice)
    assert CheckpointFolder(twice / "checkpoints").newest().n_timesteps == 200
    assert_same_training(peace, twice)


def test_what_a_training_without_checkpoints_left_is_not_taken_for_another(tmp_path: Path) -> None:
    env = poles(None)
    with pytest.raises(CutError):
        dqn(env, gamma=0.5).learn(100, [ExactCheckpoint(90, folder=tmp_path), CutOff(50)])
    env.close()
    learn(tmp_path, cut=150)  # another one, which is resumed as it was begun
    assert go_on(tmp_path).gamma == 0.99


class Signalled(BaseCallback):
    """Sends this process a signal at some step."""

    is_stateless = True

    def __init__(self, step: int, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self.step, self.number = step, number

    def _on_step(self) -> bool:
        if self.num_timesteps == self.step:
            signal.raise_signal(self.number)
        return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_with_a_checkpoint(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peace, run = tmp_path / "peace", tmp_path / "run"
    learn(peace)
    handler = signal.getsignal(number)
    model, callback = dqn(poles(run)), ExactCheckpoint(40, folder=run)
    model.learn(200, [Signalled(101, number), callback])
    close(model)
    assert callback.stop_signal == number
    assert steps_in(run) == [40, 80, 104]
    assert model.num_timesteps == 105  # SB3 looks at a callback's answer after a step
    assert signal.getsignal(number) is handler
    assert f"104. To resume: sb3_atari_course.resume({str(run)!r}, ...)" in capsys.readouterr().out
    go_on(run)
    assert_same_training(peace, run)


def test_a_checkpoint_that_lacks_memory_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def take(*args: Any, **kwargs: Any) -> Any:
        raise MemoryError("a lot")

    monkeypatch.setattr(Snapshots, "take", take)
    learn(tmp_path, steps=60)
    assert capsys.readouterr().out.startswith(
        "The checkpoint at step 40 could not be written (a lot): there is none before it\n"
    )


def test_a_training_that_another_callback_ends_is_not_finished(tmp_path: Path) -> None:
    class Enough(BaseCallback):
        is_stateless = True

        def _on_step(self) -> bool:
            return self.num_timesteps < 100

    learn(tmp_path, Enough())
    newest = CheckpointFolder(tmp_path / "checkpoints").newest()
    assert (newest.step, newest.finished) == (80, False)
    assert not CheckpointFolder(tmp_path / "checkpoints").is_used()


def test_a_checkpoint_that_was_used_before_follows_its_new_training(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    learn(second, cut=150)
    model, callback = dqn(poles(first)), ExactCheckpoint(40, folder=first)
    model.learn(60, callback)
    close(model)
    before = contents(first)
    go_on(second, callback=callback)
    assert contents(first) == before
    assert steps_in(second) == [40, 80, 120, 160, 200]


# Signals

BOTH = (signal.SIGINT, signal.SIGTERM)


class Before:
    """What a program does at a signal before a training begins: it notes it."""

    def __init__(self) -> None:
        self.got: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.got.append(number)


@pytest.fixture
def before() -> Iterator[Before]:
    handler, old = Before(), [signal.getsignal(number) for number in BOTH]
    for number in BOTH:
        signal.signal(number, handler)
    yield handler
    for number, one in zip(BOTH, old, strict=True):
        signal.signal(number, one)


def running() -> StopSignals:
    signals = StopSignals()
    signals.listen()
    return signals


@pytest.mark.parametrize("number", BOTH)
def test_the_first_sets_a_flag_and_the_second_is_as_before(
    number: int, before: Before, capfd: pytest.CaptureFixture[str]
) -> None:
    signals = running()
    signal.raise_signal(number)
    assert signals.received == number
    assert before.got == []
    name = signal.Signals(number).name
    assert capfd.readouterr().err == (
        f"\n{name}: stopping after this rollout, with a checkpoint (once more: at once)\n"
    )
    signal.raise_signal(number)
    assert before.got == [number]
    assert signal.getsignal(number) is before


def test_a_handler_that_came_later_stays_and_may_give_back_to_one_that_has_ended(
    before: Before,
) -> None:
    first, second = running(), running()
    first.let_go()  # does not take what the second has
    assert signal.getsignal(signal.SIGINT) == second._receive
    second.let_go()  # gives it back to the first, which has ended
    signal.raise_signal(signal.SIGINT)
    assert first.received is None
    assert before.got == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_training_after_one_that_died_listens_again(before: Before) -> None:
    signals = running()
    signal.signal(signal.SIGINT, before)  # as a notebook does after each cell
    signals.listen()
    signal.raise_signal(signal.SIGINT)
    assert signals.received == signal.SIGINT
    signals.let_go()
    assert signal.getsignal(signal.SIGINT) is before


def test_ignored_signals_stay_ignored(before: Before) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as nohup does
    signals = running()
    signal.raise_signal(signal.SIGINT)
    assert signals.received is None
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_take_no_signals(before: Before) -> None:
    made: list[Any] = []
    thread = threading.Thread(target=lambda: made.append(running()))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before
    made[0].let_go()
    signals = running()
    thread = threading.Thread(target=signals.let_go)  # cannot give back, and does not break
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) == signals._receive
    signals.let_go()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_terminal_that_is_gone_stops_nothing(before: Before) -> None:
    signals, stderr = running(), os.dup(2)
    os.close(2)
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    assert signals.received == signal.SIGTERM
