"""A model in one environment: spaces compared, observations as in training, recurrent state."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Protocol, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.common.vec_env.stacked_observations import StackedObservations

from sb3_atari_course.envs import warn_if_stacked_twice


class Model(Protocol):
    """What is needed of a model: SB3's ``predict`` (any SB3 algorithm, or a player of yours).

    If ``predict`` also takes SB3's ``state`` and ``episode_start``, it gets back the state that it
    returned. ``observation_space`` and ``action_space``, if there are any, are compared with those
    of the environment.
    """

    def predict(self, observation: Any, *, deterministic: bool = False) -> tuple[NDArray[Any], Any]:
        """Return actions for a batch of observations, and a recurrent state or None."""


class Player:
    """Plays one environment with a model, carrying the state of a recurrent policy.

    :param model: an SB3 model, or anything with its ``predict``.
    :param deterministic: take the model's best actions; False: with its own exploration.
    :raises TypeError: if the model has no ``predict``.
    """

    def __init__(self, model: Model, *, deterministic: bool = True) -> None:
        parameters = _parameters_of_predict(model)
        self._predict: Any = model.predict
        self._deterministic = deterministic
        takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
        self._takes_state = takes_any or {"state", "episode_start"} <= parameters.keys()
        self._is_recurrent = self._takes_state  # until the model returns no state
        self.begin_game()

    def begin_game(self) -> None:
        """Forget the recurrent state: a game starts."""
        self._state: Any = None
        self.begin_episode()

    def begin_episode(self) -> None:
        """Mark the next observation as the first one of an episode, as after a life loss."""
        self._starts = True

    def act(self, observation: Any) -> Any:
        """Return the model's action.

        :param observation: one, as the environment returned it; a dict of arrays too.
        :raises ValueError: for a recurrent model whose ``predict`` does not take its state back.
        """
        carried = {}
        if self._takes_state:
            carried = {"state": self._state, "episode_start": np.array([self._starts])}
        actions, state = self._predict(
            batch_of_one(observation), deterministic=self._deterministic, **carried
        )
        if state is not None and not self._takes_state:
            raise ValueError(
                "the model's predict() returns a recurrent state, but cannot take it back: let it"
                " take state= and episode_start=, as SB3's does, or return None for the state"
            )
        self._state, self._starts, self._is_recurrent = state, False, state is not None
        return actions[0]

    def skip(self, observation: Any) -> None:
        """See an observation for which a random action was played: a recurrent state moves on."""
        if self._is_recurrent:
            self.act(observation)


def fit_to_model(env: gym.Env[Any, Any], model: Model) -> gym.Env[Any, Any]:
    """Show a model what it was shown in training, and refuse an environment with other spaces.

    Observations pass through the ``VecNormalize`` that the model carries. A model that reads
    several observations at once gets them stacked, zero-padded at the start, as SB3's
    ``VecFrameStack`` and RL Zoo's ``frame_stack`` do.

    :raises ValueError: if the model has other spaces, naming them, or needs action masks;
        ``env`` is closed then.
    """
    try:
        find_normalize = getattr(model, "get_vec_normalize_env", None)
        normalize: VecNormalize | None = find_normalize() if find_normalize else None
        if normalize is not None and normalize.norm_obs:
            env = _Normalized(_stacked_like(normalize.observation_space, env), normalize)
        wanted = getattr(model, "observation_space", None)
        if wanted is not None:
            env = _stacked_like(wanted, env)
            warn_if_stacked_twice(env.observation_space)
        check_spaces(model, env.observation_space, env.action_space)
        masks = "action_masks"
        if masks in _parameters_of_predict(model) and env.has_wrapper_attr(masks):
            raise ValueError(
                f"{type(model).__name__} needs action masks, which are not passed here: use"
                " sb3_contrib.common.maskable.evaluation.evaluate_policy"
            )
    except ValueError:
        env.close()
        raise
    return env


def check_spaces(
    model: Model, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
) -> None:
    """Refuse a model that was trained with other spaces, as SB3's ``set_env`` does.

    Images may be channels last, which SB3 transposes for its models. A model without spaces
    passes.

    :raises ValueError: naming the spaces of both.
    """
    differ = []
    reads, acts = (getattr(model, f"{of}_space", None) for of in ("observation", "action"))
    if reads is not None and reads not in (observation_space, _channels_first(observation_space)):
        differ.append(f"the model reads {reads}, but the environment shows {observation_space}")
    if acts is not None and acts != action_space:
        differ.append(f"the model's actions are {acts}, the environment's {action_space}")
    if differ:
        raise ValueError(
            f"{'; '.join(differ)}: pass the environment on which it was trained (env_id,"
            " env_kwargs) and its env_wrapper (crop, shape and n_stack of wrap_atari, bins)"
        )


def batch_of_one(observation: Any) -> Any:
    """Return a batch with one observation, (1, *shape); a dict of batches for a dict."""
    if isinstance(observation, dict):
        return {key: np.asarray(value)[None] for key, value in observation.items()}
    return np.asarray(observation)[None]


class _Normalized(gym.ObservationWrapper[Any, Any, Any]):
    """Shows what SB3's VecNormalize makes of the observations; its statistics stay as they are."""

    def __init__(self, env: gym.Env[Any, Any], normalize: VecNormalize) -> None:
        if normalize.observation_space != env.observation_space:
            raise ValueError(
                f"the model's VecNormalize reads {normalize.observation_space}, but the environment"
                f" shows {env.observation_space}: pass the environment and the env_wrapper with"
                " which it was trained (normalised images cannot be evaluated)"
            )
        super().__init__(env)
        self._normalize = normalize

    def observation(self, observation: Any) -> Any:
        """Return the normalised observation."""
        return _first_of(self._normalize.normalize_obs(batch_of_one(observation)))


class ZeroPaddedStack(gym.Wrapper[Any, Any, Any, Any]):
    """Stacks observations as SB3's VecFrameStack does.

    :param n_stack: how many observations.
    """

    def __init__(self, env: gym.Env[Any, Any], n_stack: int) -> None:
        super().__init__(env)
        self.n_stack = n_stack
        self._stack: Any = StackedObservations(1, n_stack, env.observation_space)  # type: ignore[arg-type]
        self.observation_space = self._stack.stacked_observation_space

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset; zeros stand for the past."""
        obs, info = self.env.reset(**kwargs)
        return _first_of(self._stack.reset(batch_of_one(obs))), info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step and push the new observation."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        stacked, _ = self._stack.update(batch_of_one(obs), np.array([False]), [{}])
        return _first_of(stacked), reward, terminated, truncated, info


def _first_of(batch: Any) -> Any:
    """Return a copy of the only observation in a batch."""
    if isinstance(batch, dict):
        return {key: value[0].copy() for key, value in batch.items()}
    return batch[0].copy()


def _stacked_like(wanted: spaces.Space[Any], env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Return ``env`` with as many observations stacked as make it show ``wanted``, if any do."""
    shown = env.observation_space
    if not isinstance(shown, (spaces.Box, spaces.Dict)) or type(shown) is not type(wanted):
        return env
    n_stack, rest = divmod(spaces.flatdim(wanted), spaces.flatdim(shown))
    if rest or n_stack < 2:
        return env
    stacked = ZeroPaddedStack(env, n_stack)
    fits = wanted in (stacked.observation_space, _channels_first(stacked.observation_space))
    return stacked if fits else env


def _channels_first(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """Return the space as SB3 shows it to its models: images (h, w, c) become (c, h, w)."""
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: _channels_first(one) for key, one in space.items()})
    if isinstance(space, spaces.Box) and len(space.shape) == 3 and space.dtype == np.uint8:
        low, high = (np.moveaxis(bound, -1, 0) for bound in (space.low, space.high))
        return spaces.Box(low, high, dtype=np.uint8)
    return space


def _parameters_of_predict(model: Model) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a model's ``predict`` by name.

    :raises TypeError: if the model has none.
    """
    if not callable(getattr(model, "predict", None)):
        raise TypeError(f"model must be an SB3 model or have its predict(), got {model!r}")
    return inspect.signature(model.predict).parameters
