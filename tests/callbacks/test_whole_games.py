"""WholeGames: which games are counted, their lengths, and rejected environments."""

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
from tests.callbacks.scored_games import ScoredGames, lives, player, repeated, vec_env
from tests.checkpoints.cartpole_trainings import learn, resume_run
from tests.fakes import Clock, FakeGame

GAME = "BreakoutNoFrameskip-v4"


class GameRecorder(BaseCallback):
    """Records (agent steps so far, env, score, agent steps of the game) of each game."""

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


def make_training(*ends_at: int) -> tuple[GameRecorder, DQN]:
    """Return a recorder, and a model in games of these lengths in frames, 2 per agent step."""
    return GameRecorder(), player(vec_env(*(partial(repeated, frames) for frames in ends_at)))


def test_lengths_are_counted_in_agent_steps() -> None:
    recorder, model = make_training(4, 6)
    model.learn(12, callback=recorder)
    assert recorder.games == [
        *((4, 0, 4.0, 2), (6, 1, 6.0, 3), (8, 0, 4.0, 2)),
        *((12, 0, 4.0, 2), (12, 1, 6.0, 3)),
    ]


def test_life_loss_does_not_end_a_game() -> None:
    recorder = GameRecorder()
    player(vec_env(lives)).learn(12, callback=recorder)
    assert recorder.games == [(6, 0, 6.0, 6), (12, 0, 6.0, 6)]


class Interrupt(BaseCallback):
    """Raises KeyboardInterrupt in a given step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def _on_step(self) -> bool:
        if self.n_calls == self.at:
            raise KeyboardInterrupt
        return True


@pytest.mark.parametrize("records_first", [True, False])
def test_game_continues_after_an_interrupt(records_first: bool) -> None:
    """Whether or not the callback was called in the interrupted step."""
    interrupt = Interrupt(3)
    recorder, model = make_training(10)
    with pytest.raises(KeyboardInterrupt):
        model.learn(9, callback=[recorder, interrupt] if records_first else [interrupt, recorder])
    model.learn(7, callback=recorder, reset_num_timesteps=False)
    assert recorder.games == [(5, 0, 10.0, 5), (10, 0, 10.0, 5)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(callbacks, "time", clock)
    return clock


def test_game_continues_in_the_next_learn_without_the_pause(clock: Clock) -> None:
    recorder, model = make_training(10)
    model.learn(3, callback=recorder)
    clock.now += 7
    model.learn(2, callback=recorder, reset_num_timesteps=False)
    assert recorder.games == [(5, 0, 10.0, 5)]
    assert recorder.seconds == [0]


def native() -> NativeAtariVecEnv:
    """Return two games of 80 frames, 20 agent steps."""
    return NativeAtariVecEnv(GAME, 2, seed=0, noop_max=0, max_num_frames_per_episode=80)


@pytest.mark.parametrize(
    "make", [native, lambda: vec_env(*[partial(repeated, 40)] * 2)], ids=["native", "python"]
)
@pytest.mark.parametrize("by", ["set_env", "reset"])
def test_reset_between_two_learns_starts_new_games(make: Any, by: str) -> None:
    """By the user, as required after Ctrl-C during a native step, or by SB3."""
    recorder, env = GameRecorder(), make()
    model = player(env)
    model.learn(14, callback=recorder)  # 7 steps each
    if by == "reset":
        env.reset()
    else:
        model.set_env(model.env)  # makes SB3 reset it in learn()
    model.learn(80, callback=recorder, reset_num_timesteps=False)
    games = [(steps, env, n_steps) for steps, env, _, n_steps in recorder.games]
    assert games == [(54, 0, 20), (54, 1, 20), (94, 0, 20), (94, 1, 20)]
    env.close()


def test_games_with_a_missed_start_are_not_counted() -> None:
    recorder, model = make_training(10)
    model.learn(3)
    model.learn(2, callback=recorder, reset_num_timesteps=False)
    assert recorder.games == []
    model.learn(3, callback=recorder)  # resets the environment
    model.learn(4, reset_num_timesteps=False)  # a game ends at 5
    model.learn(8, callback=recorder, reset_num_timesteps=False)
    assert recorder.games == [(15, 0, 10.0, 5)]
    model.learn(2, reset_num_timesteps=False)  # no game ends
    model.learn(3, callback=recorder, reset_num_timesteps=False)
    assert recorder.games == [(15, 0, 10.0, 5), (20, 0, 10.0, 5)]


def test_native_games_start_over_on_resume(tmp_path: Path) -> None:
    """Native emulators cannot be saved: interrupted in step 13, resumed from step 10."""
    table = EpisodeTable(path=tmp_path / "games.csv")
    learn(tmp_path, table, model=player(native()), interrupt_at=26, every=20, steps=200)
    assert table.rows == []
    table = EpisodeTable(path=tmp_path / "games.csv")
    resume_run(tmp_path, model=player(native()), callback=[table], n_timesteps=100)
    assert [(row.steps, row.game_steps) for row in table.rows] == [(60, 20)] * 2 + [(100, 20)] * 2


def test_begin_again_restarts_the_time(clock: Clock) -> None:
    class Restarting(GameRecorder):
        def _on_step(self) -> bool:
            super()._on_step()
            clock.now += 1
            if self.n_calls == 2:
                self.whole.begin_again([0])
            return True

    recorder = Restarting()
    player(vec_env(partial(repeated, 10))).learn(5, callback=recorder)
    assert recorder.games == [(5, 0, 10.0, 3)]
    assert recorder.seconds == [2]


def test_new_environments_start_new_games() -> None:
    recorder, model = make_training(10)
    model.learn(3, callback=recorder)
    model.set_env(vec_env(partial(repeated, 4)))
    model.learn(3, callback=recorder, reset_num_timesteps=False)
    assert recorder.games == [(5, 0, 4.0, 2)]


def test_native_games_are_counted() -> None:
    recorder = GameRecorder()
    env = native()
    model = player(env)
    model.learn(100, callback=recorder)
    assert model.ep_info_buffer is not None
    assert [game[2] for game in recorder.games] == [info["r"] for info in model.ep_info_buffer]
    assert [game[:2] for game in recorder.games] == [(40, 0), (40, 1), (80, 0), (80, 1)]
    assert {game[3] for game in recorder.games} == {20}
    env.close()


def preprocessed(wrapper: Any, **kwargs: Any) -> VecEnv:
    return vec_env(lambda: Monitor(wrapper(make_game(GAME), **kwargs)))


@pytest.mark.filterwarnings("ignore:The environment is already wrapped with a `Monitor`")
@pytest.mark.parametrize(
    ("make", "outside"),
    [
        (lambda: LifeLossTerminal(FakeGame()), "Monitor is outside of LifeLossTerminal"),
        (lambda: TransformReward(FakeGame(), np.sign), "Monitor is outside of TransformReward"),
        (lambda: NormalizeReward(FakeGame()), "Monitor is outside of NormalizeReward"),
        (
            lambda: vec_env(lambda: Monitor(ClipReward(Monitor(FakeGame())))),
            "Monitor is outside of ClipReward",
        ),
        (
            lambda: preprocessed(AtariPreprocessing, terminal_on_life_loss=True),
            "Monitor is outside of AtariPreprocessing",
        ),
        (lambda: preprocessed(AtariWrapper, clip_reward=False), "outside of EpisodicLifeEnv"),
        (
            lambda: preprocessed(AtariWrapper, terminal_on_life_loss=False),
            "outside of ClipRewardEnv",
        ),
        (
            lambda: VecMonitor(vec_env(lambda: ClipReward(FakeGame()))),
            "VecMonitor is outside of ClipReward",
        ),
        (lambda: VecMonitor(native()), "VecMonitor is outside of NativeAtariVecEnv"),
        (
            lambda: VecMonitor(VecNormalize(vec_env(FakeGame))),
            "VecMonitor is outside of VecNormalize",
        ),
        (lambda: vec_env(FakeGame), "no Monitor records the games"),
    ],
)
def test_rejects_environments_without_monitored_full_games(make: Any, outside: str) -> None:
    env = make()
    with pytest.raises(ValueError, match=outside):
        player(env).learn(4, callback=GameRecorder())
    env.close()


@pytest.mark.filterwarnings("ignore:The environment is already wrapped with a `Monitor`")
def test_accepts_monitors_of_full_games() -> None:
    for wrapper, kwargs in ((AtariPreprocessing, {}), (AtariWrapper, {"clip_reward": False})):
        env = preprocessed(wrapper, terminal_on_life_loss=False, **kwargs)
        player(env).learn(2, callback=GameRecorder())
    whole = {"terminal_on_life_loss": False, "clip_reward": False, "noop_max": 0}
    limit = {"env_kwargs": {"max_num_frames_per_episode": 80}, "wrapper_kwargs": whole}
    for env, n_steps in [
        (VecMonitor(VecNormalize(vec_env(partial(FakeGame, ends_at=20)), norm_reward=False)), 20),
        (VecNormalize(VecMonitor(vec_env(partial(FakeGame, ends_at=20)))), 20),
        (VecMonitor(make_atari_env(GAME, native=True, **limit)), 20),
    ]:
        recorder = GameRecorder()
        player(env).learn(21, callback=recorder)
        assert [game[3] for game in recorder.games] == [n_steps]
        env.close()


def monitor_outside() -> gym.Env[Any, Any]:
    return Monitor(LifeLossTerminal(FakeGame()))


@pytest.mark.process
def test_wrapper_order_is_checked_in_worker_processes() -> None:
    env = SubprocVecEnv([lives], start_method="forkserver")
    recorder = GameRecorder()
    player(env).learn(12, callback=recorder)
    assert recorder.games == [(6, 0, 6.0, 6), (12, 0, 6.0, 6)]
    with pytest.warns(UserWarning, match="already wrapped"):
        outside = VecMonitor(env)
    with pytest.raises(ValueError, match="VecMonitor is outside of LifeLossTerminal"):
        player(outside).learn(4, callback=recorder)
    env.close()
    env = SubprocVecEnv([monitor_outside], start_method="forkserver")
    with pytest.raises(ValueError, match="Monitor is outside of LifeLossTerminal"):
        player(env).learn(4, callback=recorder)
    env.close()


def monitored_cartpole() -> gym.Env[Any, Any]:
    return Monitor(gym.make("CartPole-v1"))


def evaluation(**callbacks: BaseCallback) -> EvalCallback:
    env = DummyVecEnv([lambda: Monitor(ScoredGames([1.0]))])
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
def test_rejects_nesting_in_event_callbacks(
    make: Any, inside: Any, name: str, tmp_path: Path
) -> None:
    one, model = make(tmp_path), player(vec_env(monitored_cartpole))
    callback = [inside(one)]
    with pytest.raises(ValueError, match=f"{type(one).__name__} .*{name}"):
        model.learn(20, callback=callback)  # type: ignore[arg-type]
    assert model.num_timesteps == 0
    model.learn(20, callback=one)  # not nested
    model.logger.close()


class EveryThirdStep(BaseCallback):
    """Custom callback that calls another one only at every third step."""

    def __init__(self, inner: BaseCallback) -> None:
        super().__init__()
        self.inner = inner

    def _on_training_start(self) -> None:
        self.inner.init_callback(self.model)
        self.inner.on_training_start(self.locals, self.globals)

    def _on_step(self) -> bool:
        self.inner.update_locals(self.locals)
        return self.n_calls % 3 > 0 or self.inner.on_step()


def test_rejects_missed_steps() -> None:
    model = player(DummyVecEnv([lambda: Monitor(ScoredGames([1.0]))] * 2))
    with pytest.raises(ValueError, match="EpisodeTable was called at step 6 after step 0"):
        model.learn(20, callback=EveryThirdStep(EpisodeTable()))
    best = evaluation(callback_on_new_best=CallbackList([EpisodeTable()]))
    with pytest.raises(ValueError, match="EpisodeTable was called at step 4 after step None"):
        model.learn(20, callback=best)
