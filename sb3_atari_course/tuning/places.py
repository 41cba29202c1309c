"""Where a parameter stands in an entry of RL Zoo's yml, and how it is read and written there."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

#: One entry of a yml, as plain values.
Hyperparams = dict[str, Any]

#: Finds the mapping in which a key stands; a ValueError says what the yml lacks.
Owner = Callable[[Hyperparams], dict[str, Any]]


class Place(Protocol):
    """Where a parameter stands."""

    def read(self, hyperparams: Hyperparams) -> Any:
        """Return the value in the yml, None if it says nothing.

        :raises ValueError: if there is no such place in the yml.
        """

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Put a value there."""


def top(hyperparams: Hyperparams) -> dict[str, Any]:
    """Return the entry itself."""
    return hyperparams


def policy_kwargs(hyperparams: Hyperparams) -> dict[str, Any]:
    """Return ``policy_kwargs``; RL Zoo's ``"dict(net_arch=[256, 256])"`` becomes a mapping."""
    return _mapping(hyperparams, "policy_kwargs")


def features(hyperparams: Hyperparams) -> dict[str, Any]:
    """Return ``features_extractor_kwargs``, which our policies hand to AtariCNN."""
    if ".Atari" not in str(hyperparams.get("policy")):
        raise ValueError("needs a policy of ours, AtariCnnPolicy or AtariQuantileCnnPolicy")
    return _mapping(policy_kwargs(hyperparams), "features_extractor_kwargs")


def dueling_policy(hyperparams: Hyperparams) -> dict[str, Any]:
    """Return ``policy_kwargs`` of the one policy that can duel."""
    if not str(hyperparams.get("policy")).endswith(".AtariCnnPolicy"):
        raise ValueError("needs policy: sb3_atari_course.policies.AtariCnnPolicy")
    return policy_kwargs(hyperparams)


def wrapper(path: str) -> Owner:
    """Return a finder of the keyword arguments of one wrapper in ``env_wrapper``."""

    def find(hyperparams: Hyperparams) -> dict[str, Any]:
        given = hyperparams.get("env_wrapper") or []
        wrappers = given if isinstance(given, list) else [given]
        for i, one in enumerate(wrappers):
            if one == path:
                wrappers[i] = one = {path: {}}
                hyperparams["env_wrapper"] = wrappers
            if isinstance(one, dict) and path in one:
                one[path] = one[path] or {}
                found: dict[str, Any] = one[path]
                return found
        raise ValueError(f"needs {path} in env_wrapper")

    return find


@dataclass(frozen=True)
class At:
    """A key of a mapping."""

    owner: Owner
    key: str

    def read(self, hyperparams: Hyperparams) -> Any:
        """Return what stands there, None if nothing does."""
        return self.owner(hyperparams).get(self.key)

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Put a value there."""
        self.owner(hyperparams)[self.key] = value


class UpdatesPerStep:
    """Updates for each transition: ``gradient_steps`` over ``train_freq`` and ``n_envs``."""

    def read(self, hyperparams: Hyperparams) -> Any:
        """Return the ratio; -1 gradient steps are as many as transitions."""
        n_updates = hyperparams.get("gradient_steps", 1)
        return 1.0 if n_updates == -1 else n_updates / self._n_transitions(hyperparams)

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Set the updates that come nearest to the ratio, at least one."""
        hyperparams["gradient_steps"] = max(1, round(value * self._n_transitions(hyperparams)))

    @staticmethod
    def _n_transitions(hyperparams: Hyperparams) -> int:
        n_steps = hyperparams.get("train_freq", 4)
        if not isinstance(n_steps, int):
            raise ValueError(f"needs a train_freq in steps, not {n_steps!r}")
        return n_steps * int(hyperparams.get("n_envs", 1))


class NSteps:
    """Steps of reward before the estimate: of our replay memory, else of the algorithm."""

    def read(self, hyperparams: Hyperparams) -> Any:
        """Return the number of steps."""
        return self._owner(hyperparams).get("n_steps", 1)

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Set the number of steps; the discount is the model's."""
        owner = self._owner(hyperparams)
        owner["n_steps"] = value
        if owner is not hyperparams:
            owner["gamma"] = None

    @staticmethod
    def _owner(hyperparams: Hyperparams) -> dict[str, Any]:
        memory = hyperparams.get("replay_buffer_class")
        if memory is None:
            return hyperparams
        if "FrameReplayBuffer" not in str(memory):
            raise ValueError(f"needs our FrameReplayBuffer or SB3's default, not {memory}")
        return _mapping(hyperparams, "replay_buffer_kwargs")


class NStack:
    """Pictures in one observation: ``frame_stack``, or ``n_stack`` of wrap_atari."""

    def __init__(self, wrap_atari: Owner) -> None:
        self._wrap_atari = wrap_atari

    def read(self, hyperparams: Hyperparams) -> Any:
        """Return the number of pictures."""
        if "frame_stack" in hyperparams:
            return hyperparams["frame_stack"]
        return self._wrap_atari(hyperparams).get("n_stack")

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Set it where the yml has it."""
        if "frame_stack" in hyperparams:
            hyperparams["frame_stack"] = value
        else:
            self._wrap_atari(hyperparams)["n_stack"] = value


def _mapping(hyperparams: Hyperparams, key: str) -> dict[str, Any]:
    """Return a mapping of the entry; ``"dict(a=1)"``, which RL Zoo would evaluate, becomes one."""
    given = hyperparams.get(key)
    if isinstance(given, str):
        hyperparams[key] = _literal_dict(key, given)
    elif given is None:
        hyperparams[key] = {}
    found: dict[str, Any] = hyperparams[key]
    return found


def _literal_dict(key: str, text: str) -> dict[str, Any]:
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "dict" and not call.args:
            names = [one.arg for one in call.keywords if one.arg]
            values = [ast.literal_eval(one.value) for one in call.keywords]
            return dict(zip(names, values, strict=True))
        found = ast.literal_eval(call)
        if isinstance(found, dict):
            return found
    except (ValueError, SyntaxError):
        pass
    raise ValueError(f"needs {key} as a mapping of plain values, not {text!r}")
