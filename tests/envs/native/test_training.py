"""Tests of SB3's algorithms on native environments."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np
import pytest
import torch as th
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_atari_course import NativeAtariVecEnv, make_atari_env
from tests import naive
from tests.zoo.runs import assert_learned

BREAKOUT = "BreakoutNoFrameskip-v4"
FIELD = (30, 195, 5, 155)
FIRE = 1


def test_replay_buffer_of_dqn_stores_the_executed_actions() -> None:
    """A bare emulator that plays the stored actions returns the stored rewards."""
    env = NativeAtariVecEnv(BREAKOUT, 2, seed=0, noop_max=0, clip_reward=False, crop=FIELD)
    model = DQN("CnnPolicy", env, buffer_size=300, learning_starts=200, seed=0)
    model.learn(260)
    assert_learned(model)
    buffer = model.replay_buffer
    assert isinstance(buffer, ReplayBuffer)
    actions = buffer.actions[: buffer.pos, :, 0]
    starts = np.vstack([np.ones((1, 2)), buffer.dones[: buffer.pos - 1]]).astype(bool)
    assert (actions[starts] == FIRE).all()
    assert (actions[~starts] != FIRE).any()
    assert buffer.rewards[:120].sum() > 0
    for i in range(2):
        for n_steps in (1, 40, 80, 120):
            score = float(buffer.rewards[:n_steps, i].sum())
            frames = np.repeat(actions[:n_steps, i], 4).tolist()
            assert naive.replay("breakout", frames) == (score, False)
    env.close()


@pytest.mark.parametrize("fire", [False, True])
def test_ppo_stores_the_right_log_probabilities_only_without_fire(fire: bool) -> None:
    env = NativeAtariVecEnv(BREAKOUT, 4, seed=0, fire=fire, crop=FIELD)
    model = PPO("CnnPolicy", env, n_steps=16, batch_size=32, n_epochs=1, seed=0)
    before = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
    differences = []

    class Compare(BaseCallback):
        def _on_rollout_end(self) -> None:
            buffer = model.rollout_buffer
            observations = th.as_tensor(buffer.observations.reshape(-1, 4, 84, 84))
            actions = th.as_tensor(buffer.actions.reshape(-1))
            with th.no_grad():
                _, log_probs, _ = model.policy.evaluate_actions(observations, actions)
            stored = th.as_tensor(buffer.log_probs.reshape(-1))
            differences.append(float((log_probs - stored).abs().max()))

        def _on_step(self) -> bool:
            return True

    with pytest.warns(UserWarning, match="PPO") if fire else nullcontext():
        model.learn(64, Compare())
    assert len(differences) == 1
    assert (differences[0] < 1e-4) == (not fire)
    after = model.policy.state_dict()
    assert any((before[name] != after[name]).any() for name in before)
    env.close()


class TestFireWarning:
    """Only on-policy algorithms with ``fire=True`` are warned; elsewhere warnings are errors."""

    SMALL: ClassVar[dict[str, Any]] = {"n_steps": 4, "seed": 0}

    @staticmethod
    def make_env(**kwargs: Any) -> NativeAtariVecEnv:
        return NativeAtariVecEnv(BREAKOUT, 2, seed=0, shape=(36, 36), **kwargs)

    def test_is_shown_once_per_environment_inside_any_wrapper(self) -> None:
        env = VecFrameStack(self.make_env(n_stack=1), 4)
        env.reset()  # no algorithm yet
        model = A2C("CnnPolicy", env, **self.SMALL)
        with pytest.warns(UserWarning, match="A2C"):
            model.learn(8)
        model.learn(8)
        env.close()

    def test_is_not_shown_for_dqn_or_evaluations(self) -> None:
        env = self.make_env(max_num_frames_per_episode=40, n_threads=1)
        DQN("CnnPolicy", env, buffer_size=20, seed=0).learn(8)
        model = A2C("CnnPolicy", self.make_env(fire=False), **self.SMALL)
        model.learn(8, EvalCallback(env, eval_freq=4, n_eval_episodes=1, verbose=0))
        evaluate_policy(model, env, 1)


class TestMakeAtariEnv:
    def test_native_and_python_environments_have_the_same_settings(self) -> None:
        wrapper_kwargs = {"crop": FIELD, "noop_max": 0, "fire_on_reset": False}
        sides = [
            make_atari_env(
                BREAKOUT,
                2,
                native=native,
                n_stack=3,
                env_kwargs={"max_num_frames_per_episode": 200},
                wrapper_kwargs={**wrapper_kwargs, "clip_reward": False},
            )
            for native in (False, True)
        ]
        np.testing.assert_array_equal(sides[0].reset(), sides[1].reset())
        n_done = 0
        for _ in range(80):
            python, native = (env.step(np.array([1, 2])) for env in sides)
            for mine, twin in zip(native[:3], python[:3], strict=True):
                np.testing.assert_array_equal(mine, twin)
            n_done += int(native[2].sum())
        assert n_done >= 2
        assert sides[1].observation_space == sides[0].observation_space
        for env in sides:
            env.close()

    def test_native_rejects_vec_env_cls(self) -> None:
        with pytest.raises(TypeError, match="vec_env_cls=None"):
            make_atari_env(BREAKOUT, 2, native=True, vec_env_cls=None)
