"""Our algorithms in RL Zoo's dictionaries, so that ``--algo`` knows them."""

from __future__ import annotations

from rl_zoo3 import ALGOS
from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_atari_course.fast_dqn import FastDQN
from sb3_atari_course.fast_dqn.search_space import convert_fast_dqn_params, sample_fast_dqn_params
from sb3_atari_course.q_learning import QLearning
from sb3_atari_course.q_learning.search_space import (
    convert_q_learning_params,
    sample_q_learning_params,
)

#: RL Zoo's name -> class.
OUR_ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"fast_dqn": FastDQN, "q_learning": QLearning}


def register_algorithms() -> None:
    """Make RL Zoo train, load and tune our algorithms; a second call changes nothing.

    RL Zoo reads its ``--algo`` choices when its parsers are built: call this before.
    """
    ALGOS.update(OUR_ALGORITHMS)
    HYPERPARAMS_SAMPLER["fast_dqn"] = sample_fast_dqn_params
    HYPERPARAMS_CONVERTER["fast_dqn"] = convert_fast_dqn_params
    HYPERPARAMS_SAMPLER["q_learning"] = sample_q_learning_params
    HYPERPARAMS_CONVERTER["q_learning"] = convert_q_learning_params
