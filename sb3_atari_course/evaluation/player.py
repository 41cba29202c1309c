"""Model as a player: space checks, observations as in training, recurrent state."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.common.vec_env.stacked_observations import StackedObservations

from sb3_atari_course.envs import warn_if_stacked_twice


class Model(Protocol):
    """Interface of a model: SB3's ``predict()``, of any SB3 algorithm or a custom player.

    If ``predict()`` also takes ``state`` and ``episode_start``, as in SB3, its recurrent state is
    passed back to it. ``observation_space`` and ``action_space``, if present, are compared with
    those of the environment.
    """

    def predict(self, observation: Any, *, deterministic: bool = False) -> tuple[NDArray[Any], Any]:
        """Return actions for a batch of observations, and a recurrent state or None.

        :param observation: batch of observations, a dict of batches for ``Dict`` spaces.
        :param deterministic: return greedy actions.
        """


class Player:
    """Player of one or several environments: selects actions and keeps the recurrent state.

    :param model: an SB3 model, or any object with its ``predict()``.
    :param n_envs: number of environments, numbered from 0.
    :param deterministic: use greedy actions; False uses the model's exploration.
    :raises TypeError: if the model has no ``predict()``.
    """

    def __init__(self, model: Model, *, n_envs: int = 1, deterministic: bool = True) -> None:
        parameters = _parameters_of_predict(model)
        self._predict: Any = model.predict
        self._deterministic = deterministic
        takes_any = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
        self._takes_state = takes_any or {"state", "episode_start"} <= parameters.keys()
        #: Whether the state must be updated with every observation; known after the first action.
        self.is_recurrent = self._takes_state
        self._state: Any = None
        self.n_envs = n_envs
        self._starts = np.ones(n_envs, bool)
        self._last: list[Any] = [None] * n_envs

    def begin_game(self, env: int = 0) -> None:
        """Reset the recurrent state of an environment at the start of a game."""
        self.begin_episode(env)
        if self.n_envs == 1:
            self._state = None

    def begin_episode(self, env: int = 0) -> None:
        """Mark the next observation as the first of an episode, for example after a life loss."""
        self._starts[env] = True

    def act(self, observations: Mapping[int, Any]) -> dict[int, Any]:
        """Return the model's actions, from one batch.

        The batch of a recurrent model has a row for each environment, because the state has one:
        environments that are not asked repeat their last observation.

        :param observations: environment -> single observation as returned by it; at least one.
        :return: environment -> action.
        :raises ValueError: if ``predict()`` does not return an action for each observation; if it
            returns a recurrent state but has no ``state`` and ``episode_start`` parameters.
        """
        envs, batch = [*observations], [*observations.values()]
        if self.is_recurrent:
            envs = [*range(self.n_envs)]
            self._last = [observations.get(env, self._last[env]) for env in envs]
            batch = [batch[0] if one is None else one for one in self._last]
        carried = {}
        if self._takes_state:
            carried = {"state": self._state, "episode_start": self._starts[envs]}
        actions, state = self._predict(
            batch_of(batch), deterministic=self._deterministic, **carried
        )
        if state is not None and not self._takes_state:
            raise ValueError(
                "the model's predict() returns a recurrent state, but does not accept it: add the"
                " parameters state and episode_start, as in SB3, or return None as the state"
            )
        if len(envs) > 1 and np.shape(actions)[:1] != (len(envs),):
            raise ValueError(
                f"the model's predict() returned actions of shape {np.shape(actions)} for a batch"
                f" of {len(envs)} observations: return one action for each, or pass n_envs=1"
            )
        self._state, self.is_recurrent = state, state is not None
        self._starts[[*observations]] = False
        return {env: actions[i] for i, env in enumerate(envs) if env in observations}


def fit_to_model(env: gym.Env[Any, Any], model: Model) -> gym.Env[Any, Any]:
    """Wrap an environment so that its observations are those the model was trained on.

    Observations are normalized by the model's ``VecNormalize``. For a model that expects stacked
    observations they are stacked with zero padding, as by SB3's ``VecFrameStack`` (RL Zoo's
    ``frame_stack``).

    :param env: the environment with the wrappers used in training.
    :param model: the model.
    :return: the wrapped environment.
    :raises ValueError: if the spaces do not match the model's, or it needs action masks; ``env`` is
        closed then.
    """
    try:
        find_normalize = getattr(model, "get_vec_normalize_env", None)
        normalize: VecNormalize | None = find_normalize() if find_normalize else None
        if normalize is not None and normalize.norm_obs:
            env = _NormalizeObservation(_stacked_like(normalize.observation_space, env), normalize)
        wanted = getattr(model, "observation_space", None)
        if wanted is not None:
            env = _stacked_like(wanted, env)
            warn_if_stacked_twice(env.observation_space)
        check_spaces(model, env.observation_space, env.action_space)
        masks = "action_masks"
        if masks in _parameters_of_predict(model) and env.has_wrapper_attr(masks):
            raise ValueError(
                f"{type(model).__name__} needs action masks, which are not supported here: use"
                " sb3_contrib.common.maskable.evaluation.evaluate_policy"
            )
    except ValueError:
        env.close()
        raise
    return env


def check_spaces(
    model: Model, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
) -> None:
    """Check that an environment's spaces match those of a model, as SB3's ``set_env()`` does.

    Images may be channels-last, because SB3 transposes them. A model without spaces is accepted.

    :raises ValueError: if they differ.
    """
    differ = []
    reads, acts = (getattr(model, f"{of}_space", None) for of in ("observation", "action"))
    if reads is not None and reads not in (observation_space, _channels_first(observation_space)):
        differ.append(
            f"the model's observation space is {reads}, the environment's {observation_space}"
        )
    if acts is not None and acts != action_space:
        differ.append(f"the model's action space is {acts}, the environment's {action_space}")
    if differ:
        raise ValueError(
            f"{'; '.join(differ)}: pass env_id, env_kwargs and env_wrapper (wrap_atari's crop,"
            " shape and n_stack; bins) as in training"
        )


def batch_of(observations: Sequence[Any]) -> Any:
    """Return a batch of observations, ``(n, *shape)``; a dict of batches for dicts."""
    if isinstance(observations[0], dict):
        return {key: np.stack([one[key] for one in observations]) for key in observations[0]}
    return np.stack(observations)


class _NormalizeObservation(gym.ObservationWrapper[Any, Any, Any]):
    """Observation normalization by SB3's ``VecNormalize``, without updating its statistics."""

    def __init__(self, env: gym.Env[Any, Any], normalize: VecNormalize) -> None:
        if normalize.observation_space != env.observation_space:
            raise ValueError(
                f"the model's VecNormalize expects {normalize.observation_space}, but the"
                f" environment's observation space is {env.observation_space}: pass env_id and"
                " env_wrapper as in training (normalized images are not supported)"
            )
        super().__init__(env)
        self._normalize = normalize

    def observation(self, observation: Any) -> Any:
        """Return the normalized observation."""
        return _first_of(self._normalize.normalize_obs(batch_of([observation])))


class ZeroPaddedStack(gym.Wrapper[Any, Any, Any, Any]):
    """Observation stacking with zero padding, as by SB3's ``VecFrameStack``.

    :param env: environment with ``Box`` or ``Dict`` observations.
    :param n_stack: number of observations in a stack.
    """

    def __init__(self, env: gym.Env[Any, Any], n_stack: int) -> None:
        super().__init__(env)
        self.n_stack = n_stack
        self._stack: Any = StackedObservations(1, n_stack, env.observation_space)  # type: ignore[arg-type]
        self.observation_space = self._stack.stacked_observation_space

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """Reset; the stack is padded with zeros."""
        obs, info = self.env.reset(**kwargs)
        return _first_of(self._stack.reset(batch_of([obs]))), info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step and append the new observation."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        stacked, _ = self._stack.update(batch_of([obs]), np.array([False]), [{}])
        return _first_of(stacked), reward, terminated, truncated, info


def _first_of(batch: Any) -> Any:
    """Return a copy of the only observation in a batch."""
    if isinstance(batch, dict):
        return {key: value[0].copy() for key, value in batch.items()}
    return batch[0].copy()


def _stacked_like(wanted: spaces.Space[Any], env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    """Stack observations if the observation space then equals ``wanted``; else return ``env``."""
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
    """Transpose image spaces from (h, w, c) to (c, h, w), as SB3 does for its models."""
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: _channels_first(one) for key, one in space.items()})
    if isinstance(space, spaces.Box) and len(space.shape) == 3 and space.dtype == np.uint8:
        low, high = (np.moveaxis(bound, -1, 0) for bound in (space.low, space.high))
        return spaces.Box(low, high, dtype=np.uint8)
    return space


def _parameters_of_predict(model: Model) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a model's ``predict()`` by name.

    :raises TypeError: if the model has no ``predict()``.
    """
    if not callable(getattr(model, "predict", None)):
        raise TypeError(f"model must be an SB3 model or have a predict() method, got {model!r}")
    return inspect.signature(model.predict).parameters
