"""Games side by side: scores are those of single play, and slots do not mix."""

from __future__ import annotations

import zlib
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from sb3_atari_course import GamesReport, QLearning, evaluate_games
from sb3_atari_course.evaluation.player import Player
from tests.fakes import ScriptedPlayer

GAME = "SpaceInvadersNoFrameskip-v4"


class HashModel:
    """Deterministic policy that depends on every byte of an observation."""

    def __init__(self, n_actions: int) -> None:
        self.n_actions = n_actions
        self.n_rows: list[int] = []

    def predict(self, observation: Any, *, deterministic: bool = False) -> Any:
        self.n_rows.append(len(observation))
        return np.array([zlib.crc32(row.tobytes()) % self.n_actions for row in observation]), None


def play_alone(model: Any, env_id: str, seed: list[int], epsilon: float) -> tuple[float, int]:
    """Play one game as simply as possible; return score and length."""
    rng = np.random.default_rng(seed)
    env = gym.make(env_id)
    env_seed = int(rng.integers(2**31))
    env.action_space.seed(env_seed)
    obs, _ = env.reset(seed=env_seed)
    score, n_steps, over = 0.0, 0, False
    while not over:
        action = model.predict(np.asarray(obs)[None], deterministic=True)[0][0]
        if rng.random() < epsilon:
            action = env.action_space.sample()
        obs, reward, terminated, truncated, _ = env.step(action)
        score, n_steps, over = score + float(reward), n_steps + 1, terminated or truncated
    return score, n_steps


def frozen_lake_table() -> QLearning:
    model = QLearning("QTablePolicy", "FrozenLake-v1")
    model.q_table[:] = np.random.default_rng(0).random(model.q_table.shape)
    return model


@pytest.mark.parametrize("epsilon", [0.0, 0.05])
@pytest.mark.parametrize("n_envs", [1, 3, 8])
@pytest.mark.parametrize(
    ("env_id", "model"),
    [("CartPole-v1", HashModel(2)), ("FrozenLake-v1", frozen_lake_table())],
    ids=["hash", "Q-table"],
)
def test_scores_are_those_of_single_play(
    env_id: str, model: Any, n_envs: int, epsilon: float
) -> None:
    report = evaluate_games(model, env_id, n_games=20, seed=3, epsilon=epsilon, n_envs=n_envs)
    alone = [play_alone(model, env_id, [3, i], epsilon) for i in range(20)]
    assert [*zip(report.scores, report.lengths, strict=True)] == alone
    assert len(set(report.lengths)) > 3
    at_random = [play_alone(model, env_id, [3, i], 1.0)[0] for i in range(20)]
    assert [*report.random_scores] == at_random


def test_scores_of_an_atari_game_with_lives_do_not_depend_on_n_envs() -> None:
    settings: dict[str, Any] = {"n_games": 2, "seed": 0, "epsilon": 0.05, "max_frames": 800}
    settings["random_play"] = False
    reports = [evaluate_games(HashModel(6), GAME, n_envs=n, **settings) for n in (1, 2)]
    assert reports[0] == reports[1]
    assert len(set(reports[0].scores)) > 1


def test_batch_has_a_row_for_each_unfinished_game_without_random_action() -> None:
    model = HashModel(2)
    report = evaluate_games(
        model, "CartPole-v1", n_games=5, seed=0, epsilon=0.0, n_envs=3, random_play=False
    )
    assert model.n_rows[0] == 3
    assert sum(model.n_rows) == sum(report.lengths)
    assert len(model.n_rows) < sum(report.lengths) / 2


class Lives(gym.Env[Any, Any]):
    """Game of 10 to 40 steps; the reward is the action times the step."""

    observation_space = spaces.Box(0, 1000, (2,), np.int64)
    action_space = spaces.Discrete(3)  # one for all instances

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.game, self.length = self.np_random.integers([0, 10], [1000, 40])
        self.n_steps = 0
        return np.array([self.game, 0]), {}

    def step(self, action: Any) -> Any:
        self.n_steps += 1
        over = self.n_steps == self.length
        return np.array([self.game, self.n_steps]), float(action * self.n_steps), over, False, {}


class Seventh(gym.Wrapper[Any, Any, Any, Any]):
    """Every seventh step loses a life; observations have the step of the life."""

    def reset(self, **kwargs: Any) -> Any:
        self.n_steps = 0
        if kwargs.get("seed") is not None:
            self.game = self.env.reset(**kwargs)[0][0]
        return np.array([self.game, 0]), {}

    def step(self, action: Any) -> Any:
        _, reward, terminated, truncated, info = self.env.step(action)
        self.n_steps += 1
        terminated = terminated or self.n_steps == 7
        return np.array([self.game, self.n_steps]), reward, terminated, truncated, info


class StrictModel:
    """Recurrent model that counts the steps of a life, and refuses a state of another game.

    Its state has the axis of the environments second, as that of RecurrentPPO.
    """

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> Any:
        games, steps = observation.T
        n_envs = len(observation)
        counts, old = np.zeros((2, n_envs), int) if state is None else np.array(state)[:, 0]
        is_start, is_next = episode_start & (steps == 0), (counts == steps) & (old == games)
        # an environment that is not asked repeats an observation
        is_idle = (counts == steps + 1) | (episode_start & (steps > 0))
        assert (is_start | (is_next & ~episode_start) | is_idle).all()
        return steps % 3, ((steps + 1)[None], games[None].copy())


@pytest.fixture
def lives() -> Any:
    gym.register("Lives-v0", Lives)
    yield "Lives-v0"
    gym.registry.pop("Lives-v0")


def play_lives(env_id: str, n_envs: int, epsilon: float) -> GamesReport:
    return evaluate_games(
        StrictModel(),
        env_id,
        n_games=9,
        seed=1,
        epsilon=epsilon,
        n_envs=n_envs,
        env_wrapper=Seventh,
    )


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_recurrent_states_stay_with_their_games(lives: str, epsilon: float) -> None:
    alone = play_lives(lives, 1, epsilon)
    assert all(play_lives(lives, n_envs, epsilon) == alone for n_envs in (3, 8))
    if not epsilon:
        expected = [sum((i - 1) % 7 % 3 * i for i in range(1, n + 1)) for n in alone.lengths]
        assert [*alone.scores] == expected


def test_shared_action_space_keeps_a_generator_per_game(lives: str) -> None:
    """An action space that is an attribute of the class."""
    assert len({play_lives(lives, n_envs, 0.0).random_scores for n_envs in (1, 3, 8)}) == 1


def test_rows_of_idle_environments_keep_the_batch_of_a_recurrent_model_complete() -> None:
    shapes = []

    class Recorder(StrictModel):
        def predict(self, observation: Any, *args: Any, **kwargs: Any) -> Any:
            shapes.append(observation.shape)
            return super().predict(observation, *args, **kwargs)

    player = Player(Recorder(), n_envs=3)
    assert player.act({1: np.array([5, 0])}) == {1: 0}
    assert player.act({1: np.array([5, 1])}) == {1: 1}
    player.begin_game(1)
    assert player.act({0: np.array([6, 0]), 1: np.array([7, 0])}) == {0: 0, 1: 0}
    assert shapes == [(3, 2)] * 3


def test_rejects_a_model_that_ignores_the_batch() -> None:
    class OneAction(ScriptedPlayer):
        def predict(self, observation: Any, *, deterministic: bool = False) -> Any:
            return np.array([0]), None

    play = partial(evaluate_games, OneAction([0]), "CartPole-v1", n_games=3, seed=0, epsilon=0.0)
    with pytest.raises(ValueError, match=r"\(1,\).* 3 observations.*n_envs=1"):
        play()
    assert len(play(n_envs=1).scores) == 3


def test_makes_no_more_environments_than_games_and_closes_all() -> None:
    made: list[Any] = []

    class Closable(gym.Wrapper[Any, Any, Any, Any]):
        is_closed = False

        def close(self) -> None:
            self.is_closed = True

    def wrap(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        made.append(Closable(env))
        if fails and len(made) == 2:
            raise OSError("no more")
        return made[-1]

    fails = False
    play = partial(evaluate_games, HashModel(2), "CartPole-v1", n_games=2, seed=0, env_wrapper=wrap)
    play(n_envs=5)
    assert [env.is_closed for env in made] == [True, True]
    made.clear()
    fails = True
    with pytest.raises(OSError, match="no more"):
        play()
    assert made[0].is_closed


@pytest.mark.parametrize("n_envs", [0, 2.5, "3"])
def test_rejects_invalid_n_envs(n_envs: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="n_envs"):
        evaluate_games(HashModel(2), "CartPole-v1", seed=0, n_envs=n_envs)
