"""What SB3's logger is told of a training with a table."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import safe_mean

if TYPE_CHECKING:
    from sb3_atari_course.q_learning.q_learning import QLearning


def record_progress(model: QLearning, logger: Logger) -> None:
    """Record returns, epsilon, learning rate, TD error and speed, under SB3's names.

    ``train/td_error`` is the mean of the absolute TD errors since the last log,
    ``train/cells_visited`` the share of the cells that were ever tried.
    """
    episodes, successes = model.ep_info_buffer, model.ep_success_buffer
    seconds = max((time.time_ns() - model.start_time) / 1e9, sys.float_info.epsilon)
    n_steps = model.num_timesteps - model._num_timesteps_at_start
    n_updates = model._n_updates - model.n_updates_logged
    rate = model.current_learning_rate

    logger.record("time/episodes", model._episode_num, exclude="tensorboard")
    if episodes:
        logger.record("rollout/ep_rew_mean", safe_mean([episode["r"] for episode in episodes]))
        logger.record("rollout/ep_len_mean", safe_mean([episode["l"] for episode in episodes]))
    if successes:
        logger.record("rollout/success_rate", safe_mean(successes))
    logger.record("rollout/exploration_rate", model.exploration_rate)
    logger.record("train/n_updates", model._n_updates, exclude="tensorboard")
    logger.record("train/cells_visited", float((model.policy.visits > 0).double().mean()))
    if rate is not None:
        logger.record("train/learning_rate", rate)
    if n_updates:
        logger.record("train/td_error", model.sum_td_error / n_updates)
    logger.record("time/fps", int(n_steps / seconds))
    logger.record("time/time_elapsed", int(seconds), exclude="tensorboard")
    logger.record("time/total_timesteps", model.num_timesteps, exclude="tensorboard")
