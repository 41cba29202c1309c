"""Untrained agent for the tests of ``enjoy`` and ``record``."""

from __future__ import annotations

from pathlib import Path

from stable_baselines3 import DQN

CARTPOLE = ["--algo", "dqn", "--env", "CartPole-v1"]
RUN = Path("logs/dqn/CartPole-v1_1")
AGENT = RUN / "CartPole-v1.zip"


def make_agent() -> None:
    """Save an agent, and make a newer run without a model."""
    for number in (1, 2):
        make_settings(Path(f"logs/dqn/CartPole-v1_{number}"))
    DQN("MlpPolicy", "CartPole-v1", seed=0, buffer_size=10, device="cpu").save(AGENT)


def make_settings(run: Path, env_id: str = "CartPole-v1") -> None:
    """Make a run folder with the settings that RL Zoo reads."""
    (run / env_id).mkdir(parents=True)
    (run / env_id / "config.yml").write_text("policy: MlpPolicy\n")
    (run / env_id / "args.yml").write_text("env_kwargs: null\n")
