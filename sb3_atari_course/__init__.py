"""Atari wrappers, replay buffer, faster DQN and tabular Q-learning for Stable-Baselines3, RL Zoo.

The data flow::

    emulator frame (210,160,3) uint8
      -> wrappers/      frame skip, no-ops, life loss, FIRE, gray-crop-resize, reward clipping
      -> envs/          order of the wrappers; native C++ environments; saved state
      -> replay/        replay buffer that stores every frame once
      -> policies.py    (B,4,84,84) -> (B,512) -> (B,n_actions)
      -> SB3's DQN, fast_dqn/, sb3-contrib's QR-DQN; or q_learning/
    hyperparams/*.yml -> zoo/ (callbacks.py, checkpoints/) -> run folder
      -> evaluation/, report/, agents/; tuning/ writes the next yml
    examples/lesson*.py -> course/; commands -> cli/

Layers, from low to high: ``_common``, ``wrappers``, ``envs``, ``replay`` and ``policies``,
``fast_dqn`` and ``q_learning``, ``evaluation``, ``callbacks``, ``checkpoints``, ``zoo``,
``report``, ``agents``, ``tuning``, ``course``, ``cli``. Lower layers never import higher ones.

Units: a "frame" is an emulator frame, a "step" an agent step of 4 frames.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sb3_atari_course.agents.loading import load_agent
    from sb3_atari_course.checkpoints import ExactCheckpoint, resume
    from sb3_atari_course.envs import make_atari_env, register_envs, wrap_atari
    from sb3_atari_course.envs.native import NativeAtariVecEnv
    from sb3_atari_course.evaluation import GamesReport, evaluate_games
    from sb3_atari_course.fast_dqn import FastDQN
    from sb3_atari_course.policies import AtariCNN, AtariCnnPolicy, AtariQuantileCnnPolicy
    from sb3_atari_course.q_learning import EpisodeDecay, QLearning, QTablePolicy
    from sb3_atari_course.replay import FrameReplayBuffer

__version__ = "0.1.0"

__all__ = [
    "AtariCNN",
    "AtariCnnPolicy",
    "AtariQuantileCnnPolicy",
    "EpisodeDecay",
    "ExactCheckpoint",
    "FastDQN",
    "FrameReplayBuffer",
    "GamesReport",
    "NativeAtariVecEnv",
    "QLearning",
    "QTablePolicy",
    "evaluate_games",
    "load_agent",
    "make_atari_env",
    "register_envs",
    "resume",
    "wrap_atari",
]

#: Public name -> module. Imported on first use, so that ``--help`` does not wait for PyTorch.
_HOME = {
    "AtariCNN": "policies",
    "AtariCnnPolicy": "policies",
    "AtariQuantileCnnPolicy": "policies",
    "EpisodeDecay": "q_learning",
    "ExactCheckpoint": "checkpoints",
    "FastDQN": "fast_dqn",
    "FrameReplayBuffer": "replay",
    "GamesReport": "evaluation",
    "NativeAtariVecEnv": "envs.native",
    "QLearning": "q_learning",
    "QTablePolicy": "q_learning",
    "evaluate_games": "evaluation",
    "load_agent": "agents",
    "make_atari_env": "envs",
    "register_envs": "envs",
    "resume": "checkpoints",
    "wrap_atari": "envs",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
