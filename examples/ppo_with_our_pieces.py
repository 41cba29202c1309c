"""PPO on Breakout with our environments and our network; one wrapper alone around gym.make.

Run:  python examples/ppo_with_our_pieces.py [--n-timesteps 500]

Nothing here is special to DQN: ``make_atari_env`` gives an SB3 VecEnv, ``AtariCNN`` is an SB3
features extractor, and each wrapper stands around any Gymnasium environment.
"""

import argparse
from functools import partial

import ale_py
import gymnasium as gym
from stable_baselines3 import PPO

from sb3_atari_course import AtariCNN, evaluate_games, make_atari_env, wrap_atari
from sb3_atari_course.wrappers import CropGrayResize

GAME = "BreakoutNoFrameskip-v4"
FIELD = {"crop": (30, 195, 5, 155)}  # pixels: top, bottom, left, right


def main() -> None:
    """Train PPO for a moment and score it."""
    parser = argparse.ArgumentParser(description="PPO on Breakout with our pieces")
    parser.add_argument("--n-timesteps", type=int, default=500, help="agent steps (default 500)")
    n_timesteps = parser.parse_args().n_timesteps

    env = make_atari_env(GAME, n_envs=4, seed=0, wrapper_kwargs=FIELD)
    model = PPO(
        "CnnPolicy",
        env,
        n_steps=125,  # per environment: an update every 500 steps
        batch_size=100,
        n_epochs=1,
        seed=0,
        policy_kwargs={"features_extractor_class": AtariCNN},
    )
    model.learn(n_timesteps)
    print(f"PPO played {model.num_timesteps} steps")
    env_wrapper = partial(wrap_atari, **FIELD)
    print(evaluate_games(model, GAME, n_games=3, seed=0, env_wrapper=env_wrapper))

    gym.register_envs(ale_py)
    alone = CropGrayResize(gym.make("ALE/Pong-v5"), crop=(34, 194, 0, 160), shape=(80, 80))
    print(f"one wrapper alone: {alone.reset(seed=0)[0].shape}")


if __name__ == "__main__":
    main()
