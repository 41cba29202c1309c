"""What a review of the checkpoints has found: each of these ended otherwise than in peace."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure

from benchmarks.run_differences import differing_rows
from sb3_atari_course import ExactCheckpoint
from sb3_atari_course._common.state_tree import pack, unpack
from sb3_atari_course.checkpoints import resume
from sb3_atari_course.checkpoints.snapshot import read_callbacks, write_callbacks
from tests.checkpoints.trainings import CutError, CutOff, assert_same_end

STEPS, EVERY, CUT = 120, 40, 100


class Pair(NamedTuple):
    a: int
    b: int


class Remembers(BaseCallback):
    """Keeps what Python has for counting, and words."""

    def __init__(self) -> None:
        super().__init__()
        self.phase, self.left, self.found = "warm-up", 5, None
        self.seen: Counter[str] = Counter()
        self.sums: defaultdict[str, int] = defaultdict(int)
        self.pair = Pair(1, 2)

    def go(self) -> None:
        self.phase, self.left, self.found = "training", None, "it"
        self.seen["x"] += 2
        self.sums["y"] += 3
        self.pair = Pair(3, 4)

    def _on_step(self) -> bool:
        return True


class SavesItself(Remembers):
    def checkpoint_state(self) -> Any:
        return {}

    def restore_checkpoint_state(self, state: Any) -> None:
        pass


class CountsRollouts(BaseCallback):
    n_rollouts = 0

    def _on_rollout_start(self) -> None:
        self.n_rollouts += 1
        self.logger.record("count", f"{self.n_rollouts}\nrollouts")

    def _on_step(self) -> bool:
        return True


_TO_CLOSE: list[Any] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while _TO_CLOSE:
        _TO_CLOSE.pop().close()


def carts(folder: Path, **kwargs: Any) -> Any:
    env = make_vec_env("CartPole-v1", seed=5, monitor_dir=str(folder), **kwargs)
    _TO_CLOSE.append(env)
    return env


def carts_again(folder: Path) -> Any:
    return carts(folder, monitor_kwargs={"override_existing": False})


def agent(env: Any, **kwargs: Any) -> DQN:
    settings: dict[str, Any] = {
        "learning_starts": 10,
        "buffer_size": 50,
        "batch_size": 4,
        "policy_kwargs": {"net_arch": [8]},
        "device": "cpu",
    }
    return DQN("MlpPolicy", env, seed=3, **{**settings, **kwargs})


def learn(model: DQN, folder: Path, *beside: BaseCallback, cut: bool = False) -> DQN:
    callbacks = [ExactCheckpoint(EVERY, folder=folder), *beside]
    if not cut:
        return model.learn(STEPS, callback=callbacks, log_interval=1)
    with pytest.raises(CutError):
        model.learn(STEPS, callback=[*callbacks, CutOff(CUT)], log_interval=1)
    return model


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "peace", tmp_path / "cut"


def test_words_counters_and_named_tuples_of_a_callback_come_back() -> None:
    before, after = Remembers(), Remembers()
    before.go()
    write_callbacks([after], unpack(*pack(read_callbacks([before]))))
    assert vars(after) == vars(before)
    after.seen["new"] += 1  # still a Counter
    after.sums["new"] += 1
    assert (after.pair.a, after.pair.b) == (3, 4)


def test_a_path_stays_the_one_that_was_passed(tmp_path: Path) -> None:
    before, after = Remembers(), Remembers()
    before.phase, after.phase = str(tmp_path / "old"), str(tmp_path / "new")
    write_callbacks([after], unpack(*pack(read_callbacks([before]))))
    assert after.phase == str(tmp_path / "new")


def test_a_callback_that_saves_itself_keeps_its_number_of_calls() -> None:
    before, after = SavesItself(), SavesItself()
    before.n_calls = 7
    write_callbacks([after], read_callbacks([before]))
    assert after.n_calls == 7


def test_the_interrupted_model_itself_can_go_on(runs: tuple[Path, Path]) -> None:
    peace, cut = runs
    learn(agent(carts(peace)), peace)
    model = resume(cut, learn(agent(carts(cut)), cut, cut=True))  # its files are still open
    assert model.num_timesteps == STEPS
    assert_same_end(peace, cut)
    assert differing_rows(peace, cut, "*.monitor.csv") == 0


@pytest.mark.parametrize(
    "kwargs",
    [
        {
            "optimize_memory_usage": True,
            "replay_buffer_kwargs": {"handle_timeout_termination": False},
        },
        {"replay_buffer_class": NStepReplayBuffer, "replay_buffer_kwargs": {"n_steps": 3}},
        {"n_steps": 3},
    ],
)
def test_settings_of_the_memory_come_back(kwargs: dict[str, Any], runs: tuple[Path, Path]) -> None:
    peace, cut = runs
    learn(agent(carts(peace), **kwargs), peace)
    learn(agent(carts(cut), **kwargs), cut, cut=True)
    model: Any = resume(cut, agent(carts_again(cut), **kwargs))
    n_steps = 1 if "optimize_memory_usage" in kwargs else 3
    assert getattr(model.replay_buffer, "n_steps", 1) == n_steps
    assert_same_end(peace, cut)


def test_callbacks_stand_where_they_stood_and_words_may_have_lines(
    runs: tuple[Path, Path],
) -> None:
    peace, cut = runs
    for folder in runs:
        model = agent(carts(folder))
        model.set_logger(configure(str(folder), ["csv"]))
        _TO_CLOSE.append(model.logger)
        learn(model, folder, CountsRollouts(), cut=folder == cut)
    resume(cut, agent(carts_again(cut)), callback=CountsRollouts())
    assert_same_end(peace, cut)
    assert differing_rows(peace, cut, "progress.csv") == 0


def test_the_files_of_evaluation_games_have_no_row_twice(runs: tuple[Path, Path]) -> None:
    def evaluation(env: Any) -> EvalCallback:
        return EvalCallback(env, n_eval_episodes=1, eval_freq=30, verbose=0)

    peace, cut = runs
    for folder in runs:
        learn(agent(carts(folder)), folder, evaluation(carts(folder / "e")), cut=folder == cut)
    beside = evaluation(carts_again(cut / "e"))
    resume(cut, agent(carts_again(cut)), callback=beside)
    assert differing_rows(peace / "e", cut / "e", "*.monitor.csv") == 0
