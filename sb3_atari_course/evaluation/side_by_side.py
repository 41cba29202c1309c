"""Games played side by side: one batch of observations per step, one generator per game."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from sb3_atari_course.evaluation.player import Player
from sb3_atari_course.evaluation.protocol import EpisodeStatistics, ScoreKeeper


@dataclass(frozen=True)
class Game:
    """A game to play.

    :param number: identifies its result.
    :param seed: seed of the initial state and the random actions, as for
        :func:`numpy.random.default_rng`.
    :param epsilon: probability of a random action, 0 to 1.
    """

    number: int
    seed: list[int]
    epsilon: float


#: Number and statistics of a finished game.
Result = tuple[int, EpisodeStatistics]
Results = Generator[Result, None, None]


class Slot:
    """A single environment in which one game after the other is played.

    :param env: wrapped environment from ``fit_to_model()``, with ``keeper`` inside.
    :param keeper: records score and length.
    """

    def __init__(self, env: gym.Env[Any, Any], keeper: ScoreKeeper) -> None:
        self.env, self.keeper = env, keeper
        self.game: Game | None = None
        self.observation: Any = None

    def begin(self, game: Game) -> None:
        """Start a game."""
        self.game = game
        self._rng = np.random.default_rng(game.seed)
        env_seed = int(self._rng.integers(2**31))
        self.env.action_space.seed(env_seed)
        self.keeper.start_game()
        self.observation, _ = self.env.reset(seed=env_seed)

    def explores(self) -> bool:
        """Sample whether the next action is random."""
        assert self.game is not None
        return self._rng.random() < self.game.epsilon

    def step(self, action: Any) -> bool:
        """Step; return whether a new episode of the same game has begun, after a life loss."""
        self.observation, _, terminated, truncated, _ = self.env.step(action)
        if truncated:
            self.keeper.cut_off()  # the truncation may come from a wrapper outside the keeper
        elif terminated and not self.keeper.over:
            self.observation, _ = self.env.reset()
            return True
        return False


#: Plays games in the slots of this process, and perhaps in others.
Play = Callable[[Player, Sequence[Slot], Sequence[Game]], Results]


def play_games(player: Player, slots: Sequence[Slot], games: Iterable[Game]) -> Results:
    """Play games side by side; a slot whose game is over takes the next one.

    :param player: the model, with as many environments as there are slots.
    :param slots: the environments.
    :param games: asked for a game whenever a slot is free; not asked again by a slot that got none.
    :return: the result of each game, as soon as it is over.
    """
    waiting = iter(games)
    active = dict(enumerate(slots))
    while active:
        for i, slot in [*active.items()]:
            while slot.game is None or slot.keeper.over:
                if slot.game is not None:
                    yield slot.game.number, slot.keeper.statistics
                slot.game = None
                if (game := next(waiting, None)) is None:
                    del active[i]
                    break
                slot.begin(game)
                player.begin_game(i)
        _step(player, active)


def _step(player: Player, active: dict[int, Slot]) -> None:
    """Play one step in each slot."""
    at_random = {i for i, slot in active.items() if slot.explores()}
    # random actions update a recurrent state too, but random play has no model
    asked = {
        i: slot.observation
        for i, slot in active.items()
        if i not in at_random or (player.is_recurrent and slot.game and slot.game.epsilon < 1)
    }
    actions = player.act(asked) if asked else {}
    for i, slot in active.items():
        if slot.step(slot.env.action_space.sample() if i in at_random else actions[i]):
            player.begin_episode(i)


def play_game(
    player: Player,
    env: gym.Env[Any, Any],
    keeper: ScoreKeeper,
    seed: list[int],
    epsilon: float,
) -> EpisodeStatistics:
    """Play one full game and return its statistics; see :class:`Game` and :class:`Slot`."""
    game = Game(number=0, seed=seed, epsilon=epsilon)
    ((_, statistics),) = play_games(player, [Slot(env, keeper)], [game])
    return statistics
