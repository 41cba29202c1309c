"""Taxi with a table: learned in seconds, drawn, measured, computed exactly, watched as text.

Run:  python examples/taxi_with_a_table.py [--n-timesteps 160000] [--delay 0.3]

Any other world with numbered states will do; one with continuous observations gets bins first
(``sb3_atari_course.wrappers.DiscretizeObservations``).
"""

import argparse

import gymnasium as gym
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from sb3_atari_course import EpisodeDecay, QLearning, evaluate_games
from sb3_atari_course.plots import plot_episodes
from sb3_atari_course.toy_text import (
    draw_policy,
    evaluate_exactly,
    play_episode,
    replay_episode,
    taxi_grid,
)

TAXI = "Taxi-v4"
ILLEGAL = -10  # what Taxi pays for picking up or putting down in the wrong place


class KeepEpisodes(BaseCallback):
    """Keeps the length and the return of each episode."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths: list[int] = []
        self.returns: list[float] = []

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self.lengths.append(info["episode"]["l"])
                self.returns.append(info["episode"]["r"])
        return True


def main() -> None:
    """Train a table and look at it from all sides."""
    parser = argparse.ArgumentParser(description="Taxi with a table")
    parser.add_argument("--n-timesteps", type=int, default=160_000, help="steps (default 160000)")
    parser.add_argument("--delay", type=float, default=0.3, help="seconds a step (default 0.3)")
    args = parser.parse_args()

    model = QLearning(
        "QTablePolicy",
        make_vec_env(TAXI, n_envs=8, seed=0),  # eight taxis, one table
        learning_rate=1.0,  # nothing in Taxi is random
        exploration=EpisodeDecay(final_eps=0.1, decay=0.0005),
        seed=0,
    )
    episodes = KeepEpisodes()
    model.learn(args.n_timesteps, callback=episodes)
    plot_episodes(episodes.lengths, episodes.returns).savefig("taxi.png")
    print(f"{len(episodes.lengths)} episodes, exploring all the while: taxi.png")

    print(evaluate_games(model, TAXI, n_games=1000, seed=0, epsilon=0.0, penalty=ILLEGAL).summary())
    print(evaluate_exactly(model, TAXI, penalty=ILLEGAL))
    print("to a passenger at R (P: pick up), seen from every place:")
    print(draw_policy(model, TAXI, states=taxi_grid(passenger=0, destination=1)))
    replay_episode(
        play_episode(model, gym.make(TAXI, render_mode="ansi"), seed=0), delay=args.delay
    )


if __name__ == "__main__":
    main()
