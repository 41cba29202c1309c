"""Whole games: which are counted, how long they are, and where nobody counts them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import AtariPreprocessing, NormalizeReward, TransformReward
from stable_baselines3 import DQN
from stable_baselines3.common.atari_wrappers import AtariWrapper
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    EvalCallback,
    EveryNTimesteps,
)
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecMonitor,
    VecNormalize,
)

from sb3_atari_course import NativeAtariVecEnv, callbacks, make_atari_env
from sb3_atari_course.callbacks import (
    CsvLog,
    EpisodeTable,
    Game,
    StopOnMovingAverage,
    WholeGames,
)
from sb3_atari_course.envs import make_game
from sb3_atari_course.wrappers import ClipReward, LifeLossTerminal
from tests.callbacks.trainings import PaidGames, lives, player, repeated, vec_env
from tests.checkpoints.small import go_on, learn
from tests.fakes import Clock, FakeGame

GAME = "BreakoutNoFrameskip-v4"


class Counting(BaseCallback):
    """Keeps what it is told: (agent steps so far, env, score, agent steps of the game)."""

    def __init__(self) -> None:
        super().__init__()
        self.games, self.whole = [], WholeGames()  # type: ignore[var-annotated]
        self.seconds: list[float] = []

    def _on_training_start(self) -> None:
        self.whole.begin(self)

    def _on_step(self) -> bool:
        finished = self.whole.finished(self)
        assert all(isinstance(game, Game) and 0 <= game.seconds < 60 for game in finished)
        self.games += [(self.num_timesteps, *game[:3]) for game in finished]
        self.seconds += [game.seconds for game in finished]
        return True


def begin(*ends_at: int) -> tuple[Counting, DQN]:
    """Return who counts, and a model on games of these lengths in frames, 2 in an agent step."""
    return Counting(), player(vec_env(*(partial(repeated, frames) for frames in ends_at)))


def test_games_of_several_envs_are_counted_in_agent_steps() -> None:
    counting, model = begin(4, 6)
    model.learn(12, callback=counting)
    assert counting.games == [
        *((4, 0, 4.0, 2), (6, 1, 6.0, 3), (8, 0, 4.0, 2)),
        *((12, 0, 4.0, 2), (12, 1, 6.0, 3)),
    ]


def test_a_lost_life_is_no_end_of_a_game() -> None:
    counting = Counting()
    player(vec_env(lives)).learn(12, callback=counting)
    assert counting.games == [(6, 0, 6.0, 6), (12, 0, 6.0, 6)]


class Interrupt(BaseCallback):
    """Ctrl-C in some step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def _on_step(self) -> bool:
        if self.n_calls == self.at:
            raise KeyboardInterrupt
        return True


@pytest.mark.parametrize("counts_first", [True, False])
def test_a_game_goes_on_after_an_interrupt(counts_first: bool) -> None:
    """Whether the callback has seen the step before it, or not."""
    interrupt = Interrupt(3)
    counting, model = begin(10)
    with pytest.raises(KeyboardInterrupt):
        model.learn(9, callback=[counting, interrupt] if counts_first else [interrupt, counting])
    model.learn(7, callback=counting, reset_num_timesteps=False)
    assert counting.games == [(5, 0, 10.0, 5), (10, 0, 10.0, 5)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(callbacks, "time", clock)
    return clock


def test_a_game_goes_on_in_the_next_learn_and_the_break_is_no_time_of_it(clock: Clock) -> None:
    counting, model = begin(10)
    model.learn(3, callback=counting)
    clock.now += 7
    model.learn(2, callback=counting, reset_num_timesteps=False)
    assert counting.games == [(5, 0, 10.0, 5)]
    assert counting.seconds == [0]


def native() -> NativeAtariVecEnv:
    """Return two games of 80 frames, 20 agent steps."""
    return NativeAtariVecEnv(GAME, 2, seed=0, noop_max=0, max_num_frames_per_episode=80)


@pytest.mark.parametrize(
    "make", [native, lambda: vec_env(*[partial(repeated, 40)] * 2)], ids=["native", "python"]
)
@pytest.mark.parametrize("by", ["set_env", "reset"])
def test_games_that_are_reset_between_two_learns_are_new_ones(make: Any, by: str) -> None:
    """By the user after Ctrl-C in the middle of a native step, which needs it, or by SB3."""
    counting, env = Counting(), make()
    model = player(env)
    model.learn(14, callback=counting)  # 7 steps each
    if by == "reset":
        env.reset()
    else:
        model.set_env(model.env)  # SB3 resets it in learn()
    model.learn(80, callback=counting, reset_num_timesteps=False)
    games = [(steps, env, n_steps) for steps, env, _, n_steps in counting.games]
    assert games == [(54, 0, 20), (54, 1, 20), (94, 0, 20), (94, 1, 20)]
    env.close()


def test_games_of_which_a_step_was_not_seen_are_counted_if_only_their_middle_was_missed() -> None:
    counting, model = begin(10)
    model.learn(3)
    model.learn(2, callback=counting, reset_num_timesteps=False)
    assert counting.games == []
    model.learn(3, callback=counting)  # starts over: the environment is reset
    model.learn(4, reset_num_timesteps=False)  # a game ends at 5
    model.learn(8, callback=counting, reset_num_timesteps=False)
    assert counting.games == [(15, 0, 10.0, 5)]
    model.learn(2, reset_num_timesteps=False)  # none ends
    model.learn(3, callback=counting, reset_num_timesteps=False)
    assert counting.games == [(15, 0, 10.0, 5), (20, 0, 10.0, 5)]


def test_native_games_begin_anew_where_a_training_resumes(tmp_path: Path) -> None:
    """Their emulators cannot be saved: cut off in step 13, resumed from the checkpoint at 10."""
    table = EpisodeTable(path=tmp_path / "games.csv")
    learn(tmp_path, table, model=player(native()), cut=26, every=20, steps=200)
    assert table.rows == []
    table = EpisodeTable(path=tmp_path / "games.csv")
    go_on(tmp_path, model=player(native()), callback=[table], n_timesteps=100)
    assert [(row.steps, row.game_steps) for row in table.rows] == [(60, 20)] * 2 + [(100, 20)] * 2


def test_time_begins_anew_with_a_game(clock: Clock) -> None:
    class Again(Counting):
        def _on_step(self) -> bool:
            super()._on_step()
            clock.now += 1
            if self.n_calls == 2:
                self.whole.begin_again([0])
            return True

    counting = Again()
    player(vec_env(partial(repeated, 10))).learn(5, callback=counting)
    assert counting.games == [(5, 0, 10.0, 3)]
    assert counting.seconds == [2]


def test_other_envs_begin_new_games() -> None:
    counting, model = begin(10)
    model.learn(3, callback=counting)
    model.set_env(vec_env(partial(repeated, 4)))
    model.learn(3, callback=counting, reset_num_timesteps=False)
    assert counting.games == [(5, 0, 4.0, 2)]


def test_native_games_are_counted_too() -> None:
    counting = Counting()
    env = native()
    model = player(env)
    model.learn(100, callback=counting)
    assert model.ep_info_buffer is not None
    assert [game[2] for game in counting.games] == [info["r"] for info in model.ep_info_buffer]
    assert [game[:2] for game in counting.games] == [(40, 0), (40, 1), (80, 0), (80, 1)]
    assert {game[3] for game in counting.games} == {20}
    env.close()


def preprocessed(wrapper: Any, **kwargs: Any) -> VecEnv:
    return vec_env(lambda: Monitor(wrapper(make_game(GAME), **kwargs)))


@pytest.mark.filterwarnings("ignore:The environment is already wrapped with a `Monitor`")
@pytest.mark.parametrize(
    ("make", "outside"),
    [
        (lambda: LifeLossTerminal(FakeGame()), "Monitor stands outside of LifeLossTerminal"),
        (lambda: TransformReward(FakeGame(), np.sign), "Monitor stands outside of TransformReward"),
        (lambda: NormalizeReward(FakeGame()), "Monitor stands outside of NormalizeReward"),
        (
            lambda: vec_env(lambda: Monitor(ClipReward(Monitor(FakeGame())))),
            "Monitor stands outside of ClipReward",
        ),
        (
            lambda: preprocessed(AtariPreprocessing, terminal_on_life_loss=True),
            "Monitor stands outside of AtariPreprocessing",
        ),
        (lambda: preprocessed(AtariWrapper, clip_reward=False), "outside of EpisodicLifeEnv"),
        (
            lambda: preprocessed(AtariWrapper, terminal_on_life_loss=False),
            "outside of ClipRewardEnv",
        ),
        (
            lambda: VecMonitor(vec_env(lambda: ClipReward(FakeGame()))),
            "VecMonitor stands outside of ClipReward",
        ),
        (lambda: VecMonitor(native()), "VecMonitor stands outside of NativeAtariVecEnv"),
        (
            lambda: VecMonitor(VecNormalize(vec_env(FakeGame))),
            "VecMonitor stands outside of VecNormalize",
        ),
        (lambda: vec_env(FakeGame), "no Monitor counts the games"),
    ],
)
def test_games_that_no_monitor_counts_whole_are_refused(make: Any, outside: str) -> None:
    env = make()
    with pytest.raises(ValueError, match=outside):
        player(env).learn(4, callback=Counting())
    env.close()


@pytest.mark.filterwarnings("ignore:The environment is already wrapped with a `Monitor`")
def test_a_monitor_that_counts_whole_games_is_welcome() -> None:
    for wrapper, kwargs in ((AtariPreprocessing, {}), (AtariWrapper, {"clip_reward": False})):
        env = preprocessed(wrapper, terminal_on_life_loss=False, **kwargs)
        player(env).learn(2, callback=Counting())
    whole = {"terminal_on_life_loss": False, "clip_reward": False, "noop_max": 0}
    limit = {"env_kwargs": {"max_num_frames_per_episode": 80}, "wrapper_kwargs": whole}
    for env, n_steps in [
        (VecMonitor(VecNormalize(vec_env(partial(FakeGame, ends_at=20)), norm_reward=False)), 20),
        (VecNormalize(VecMonitor(vec_env(partial(FakeGame, ends_at=20)))), 20),
        (VecMonitor(make_atari_env(GAME, native=True, **limit)), 20),
    ]:
        counting = Counting()
        player(env).learn(21, callback=counting)
        assert [game[3] for game in counting.games] == [n_steps]
        env.close()


def inside_out() -> gym.Env[Any, Any]:
    return Monitor(LifeLossTerminal(FakeGame()))


@pytest.mark.process
def test_the_order_is_checked_in_worker_processes_too() -> None:
    env = SubprocVecEnv([lives], start_method="forkserver")
    counting = Counting()
    player(env).learn(12, callback=counting)
    assert counting.games == [(6, 0, 6.0, 6), (12, 0, 6.0, 6)]
    with pytest.warns(UserWarning, match="already wrapped"):
        outside = VecMonitor(env)
    with pytest.raises(ValueError, match="VecMonitor stands outside of LifeLossTerminal"):
        player(outside).learn(4, callback=counting)
    env.close()
    env = SubprocVecEnv([inside_out], start_method="forkserver")
    with pytest.raises(ValueError, match="Monitor stands outside of LifeLossTerminal"):
        player(env).learn(4, callback=counting)
    env.close()


def shown() -> gym.Env[Any, Any]:
    return Monitor(gym.make("CartPole-v1"))


def evaluation(**callbacks: BaseCallback) -> EvalCallback:
    env = DummyVecEnv([lambda: Monitor(PaidGames([1.0]))])
    return EvalCallback(env, eval_freq=2, verbose=0, **callbacks)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make", [lambda _: EpisodeTable(), lambda _: StopOnMovingAverage(1, window=1), CsvLog]
)
@pytest.mark.parametrize(
    ("inside", "name"),
    [
        (lambda one: EveryNTimesteps(1, CallbackList([one])), "EveryNTimesteps"),
        (lambda one: evaluation(callback_after_eval=one), "EvalCallback"),
        (lambda one: evaluation(callback_on_new_best=one), "EvalCallback"),
    ],
)
def test_a_callback_that_is_not_called_at_each_step_is_refused_at_once(
    make: Any, inside: Any, name: str, tmp_path: Path
) -> None:
    one, model = make(tmp_path), player(vec_env(shown))
    callback = [inside(one)]
    with pytest.raises(ValueError, match=f"{type(one).__name__} .*{name}.* beside the others"):
        model.learn(20, callback=callback)  # type: ignore[arg-type]
    assert model.num_timesteps == 0
    model.learn(20, callback=one)  # where it belongs
    model.logger.close()


class Seldom(BaseCallback):
    """Somebody's callback that calls another one at every third step."""

    def __init__(self, inner: BaseCallback) -> None:
        super().__init__()
        self.inner = inner

    def _on_training_start(self) -> None:
        self.inner.init_callback(self.model)
        self.inner.on_training_start(self.locals, self.globals)

    def _on_step(self) -> bool:
        self.inner.update_locals(self.locals)
        return self.n_calls % 3 > 0 or self.inner.on_step()


def test_a_step_that_was_left_out_is_noticed() -> None:
    model = player(DummyVecEnv([lambda: Monitor(PaidGames([1.0]))] * 2))
    with pytest.raises(ValueError, match="EpisodeTable was called at step 6 after step 0"):
        model.learn(20, callback=Seldom(EpisodeTable()))
    best = evaluation(callback_on_new_best=CallbackList([EpisodeTable()]))
    with pytest.raises(ValueError, match="EpisodeTable was called at step 4 after step None"):
        model.learn(20, callback=best)
