"""The parameters that can be tuned, in the order in which they are chosen, and their yml paths.

Most are one key at a path of RL Zoo's yml. Where it takes more than that, a subclass of
:class:`Parameter` reads and writes it: :class:`NStack`, :class:`NSteps`, :class:`UpdatesPerStep`,
and the two parts, number and schedule, of a learning rate and of Q-learning's exploration.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sb3_atari_course.hyperparams import ALGORITHMS
from sb3_atari_course.q_learning.schedules import VISITS

#: One entry of a yml, as plain values.
Hyperparams = dict[str, Any]

_NETWORKS = ("dqn", "qrdqn", "fast_dqn")
_TABULAR = ("q_learning",)

#: Paths in a yml.
_TOP: tuple[str, ...] = ()
_SCREEN = ("env_wrapper", "sb3_atari_course.envs.wrap_atari")
_BINS = ("env_wrapper", "sb3_atari_course.wrappers.DiscretizeObservations")
_ACTION_REPEAT = ("env_wrapper", "sb3_atari_course.wrappers.ActionRepeat")
_POLICY = ("policy_kwargs",)
_EXTRACTOR = ("policy_kwargs", "features_extractor_kwargs")

#: Policies that hand their ``features_extractor_kwargs`` to AtariCNN, and the one that can duel.
_CNN = ("AtariCnnPolicy", "AtariQuantileCnnPolicy")
_DUELING = ("AtariCnnPolicy",)

#: Stands for the number in ``learning_rate: visits``, which holds none.
_RATE_BESIDE_VISITS = 0.1

#: Epsilon of an ``exploration`` by episodes, where the yml has none.
_DEFAULT_DECAY = {"initial_eps": 1.0, "final_eps": 0.05, "decay": 0.001}


@dataclass(frozen=True, eq=False)
class Parameter:
    """One thing that can be tuned: a key in a mapping of the yml.

    :param name: as spaces, the command line and Optuna call it.
    :param kind: of its values: see :data:`~sb3_atari_course.tuning.space.KINDS`.
    :param meaning: what it is, with its unit.
    :param path: keys that lead to the mapping; in ``env_wrapper`` the second names a wrapper.
    :param algos: which have it.
    :param key: in that mapping; by default ``name``.
    :param words: the values that a string may have.
    :param policies: class names of the policies that take it; empty for all.
    :param governor: the parameter chosen before that decides whether this one applies.
    :param applies: whether it does, from the yml with the governor written.
    :param default: the value if the yml has none.
    """

    name: str
    kind: str
    meaning: str
    path: tuple[str, ...] = _TOP
    algos: tuple[str, ...] = _NETWORKS
    key: str = ""
    words: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    governor: str | None = None
    applies: Callable[[Hyperparams], bool] = lambda hyperparams: True
    default: Any = None

    def read(self, hyperparams: Hyperparams) -> Any:
        """Return the value in a yml.

        :raises ValueError: if the yml has no place for it.
        """
        try:
            value = self._read(hyperparams)
        except ValueError as error:
            raise ValueError(f"parameter {self.name} {error}") from None
        return self.default if value is None else value

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Put a value into a yml.

        :raises ValueError: if the yml has no place for it.
        """
        mapping, key = self._place(hyperparams)
        mapping[key] = value

    def _read(self, hyperparams: Hyperparams) -> Any:
        mapping, key = self._place(hyperparams)
        return mapping.get(key)

    def _place(self, hyperparams: Hyperparams) -> tuple[dict[str, Any], str]:
        policy = str(hyperparams.get("policy"))
        if self.policies and policy.rpartition(".")[2] not in self.policies:
            raise ValueError(f"needs the policy {' or '.join(self.policies)}, not {policy}")
        return _mapping_at(hyperparams, self.path), self.key or self.name


class NStack(Parameter):
    """Frames in one observation: ``frame_stack``, or ``n_stack`` of wrap_atari."""

    def _place(self, hyperparams: Hyperparams) -> tuple[dict[str, Any], str]:
        if hyperparams.get("frame_stack"):
            return hyperparams, "frame_stack"
        return super()._place(hyperparams)


class Gamma(Parameter):
    """Discount: of the algorithm, and of our replay buffer where that has n-step returns."""

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Set both."""
        super().write(hyperparams, value)
        if hyperparams.get("replay_buffer_class") and hyperparams.get("replay_buffer_kwargs"):
            of_buffer = _mapping_at(hyperparams, ("replay_buffer_kwargs",))
            if "n_steps" in of_buffer:
                of_buffer["gamma"] = value


class NSteps(Parameter):
    """Steps of the n-step return: of our replay buffer, else of the algorithm."""

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Set the number of steps; the discount is the algorithm's."""
        mapping, key = self._place(hyperparams)
        mapping[key] = value
        if mapping is not hyperparams:
            mapping["gamma"] = hyperparams.get("gamma", 0.99)  # SB3's default

    def _place(self, hyperparams: Hyperparams) -> tuple[dict[str, Any], str]:
        replay_buffer = hyperparams.get("replay_buffer_class")
        if replay_buffer is None:
            return hyperparams, "n_steps"
        if "FrameReplayBuffer" not in str(replay_buffer):
            raise ValueError(f"needs our FrameReplayBuffer or SB3's default, not {replay_buffer}")
        return _mapping_at(hyperparams, ("replay_buffer_kwargs",)), "n_steps"


class UpdatesPerStep(Parameter):
    """Updates for each transition: ``gradient_steps`` over ``train_freq`` and ``n_envs``."""

    def _read(self, hyperparams: Hyperparams) -> Any:
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


class RatePart(Parameter):
    """Schedule or number of ``learning_rate``: 0.001, ``lin_0.001`` or ``visits``."""

    of = "learning_rate"

    def _read(self, hyperparams: Hyperparams) -> Any:
        schedule, number = _split(self.of, hyperparams.get(self.of))
        return schedule if self.kind == "word" else number

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Change one part and leave the other."""
        given = hyperparams.get(self.of)
        schedule, number = _split(self.of, given)
        if self.kind == "word":
            schedule = value
        else:
            number = value
        hyperparams[self.of] = self._joined(schedule, number, given)

    def _joined(self, schedule: str, number: float, given: Any) -> Any:
        if schedule == VISITS:
            return VISITS  # needs no number
        return f"lin_{number:.10g}" if schedule == "linear" else number


class EpsilonPart(RatePart):
    """Kind or first epsilon of Q-learning's ``exploration``, which may fall by episodes too."""

    of = "exploration"

    def _joined(self, schedule: str, number: float, given: Any) -> Any:
        if schedule != "episodes":
            return super()._joined(schedule, number, given)
        return {**(given if isinstance(given, dict) else _DEFAULT_DECAY), "initial_eps": number}


def parameters_of(algo: str) -> dict[str, Parameter]:
    """Return what can be tuned of an algorithm, name -> parameter."""
    return {one.name: one for one in _PARAMETERS if algo in one.algos}


def find_parameter(algo: str, name: str) -> Parameter:
    """Return a parameter by name.

    :raises ValueError: if the algorithm has none of this name, with the nearest one.
    """
    known = parameters_of(algo)
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"unknown parameter {name!r} of {algo}: {hint}--list-params shows all")


def _mapping_at(hyperparams: Hyperparams, path: tuple[str, ...]) -> dict[str, Any]:
    """Return the mapping at a path; missing ``..._kwargs`` are added.

    :raises ValueError: if there is none.
    """
    if path[:1] == ("env_wrapper",):
        return _wrapper_kwargs(hyperparams, path[1])
    found = hyperparams
    for key in path:
        given = found.get(key)
        if given is None and key.endswith("_kwargs"):
            given = {}
        if isinstance(given, str):
            given = _literal_dict(given)
        if not isinstance(given, dict):
            raise ValueError(f"needs {key} as a mapping of plain values, not {found.get(key)!r}")
        found[key] = given
        found = given
    return found


def _wrapper_kwargs(hyperparams: Hyperparams, name: str) -> dict[str, Any]:
    """Return the keyword arguments of one wrapper in ``env_wrapper``."""
    given = hyperparams.get("env_wrapper") or []
    wrappers = given if isinstance(given, list) else [given]
    for i, one in enumerate(wrappers):
        if one == name:
            wrappers[i] = one = {name: {}}
            hyperparams["env_wrapper"] = wrappers
        if isinstance(one, dict) and name in one:
            one[name] = one[name] or {}
            found: dict[str, Any] = one[name]
            return found
    raise ValueError(f"needs {name} in env_wrapper")


def _literal_dict(text: str) -> dict[str, Any] | None:
    """Return the mapping in ``"dict(a=1)"``, which RL Zoo would evaluate; None if there is none."""
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "dict" and not call.args:
            return {one.arg: ast.literal_eval(one.value) for one in call.keywords if one.arg}
        found = ast.literal_eval(call)
    except (ValueError, SyntaxError):
        return None
    return found if isinstance(found, dict) else None


def _split(key: str, given: Any) -> tuple[str, float]:
    """Return schedule and number of ``0.001``, ``lin_0.001``, ``visits``, or an epsilon's mapping.

    :raises ValueError: if it is none of these.
    """
    if given == VISITS:
        return VISITS, _RATE_BESIDE_VISITS
    if isinstance(given, dict):
        return "episodes", float(given.get("initial_eps", _DEFAULT_DECAY["initial_eps"]))
    is_linear = isinstance(given, str) and given.startswith("lin_")
    try:
        if isinstance(given, str) and not is_linear:
            raise ValueError
        return ("linear", float(given[4:])) if is_linear else ("constant", float(given))
    except (TypeError, ValueError):
        raise ValueError(
            f"needs {key} in the yml, a number (0.0001, not 1e-4, which YAML takes for a string) or"
            f" lin_ with a number, got {given!r}"
        ) from None


_SCHEDULES = ("constant", "linear")

_screen = partial(Parameter, path=_SCREEN)
_extractor = partial(Parameter, path=_EXTRACTOR, policies=_CNN)
_by_episodes = partial(
    Parameter,
    path=("exploration",),
    algos=_TABULAR,
    governor="exploration_schedule",
    applies=lambda hyperparams: isinstance(hyperparams.get("exploration"), dict),
)

_PARAMETERS = (
    _screen("crop", "list", "[top, bottom, left, right] in pixels, null: whole screen"),
    _screen("shape", "list", "[height, width] of a frame, in pixels", default=[84, 84]),
    NStack("n_stack", "int", "frames in one observation", _SCREEN),
    _screen("frame_skip", "int", "frames per agent step", default=4),
    _screen("noop_max", "int", "most no-ops at the start of a game, in frames", default=30),
    _screen("terminal_on_life_loss", "bool", "a lost life ends an episode", default=True),
    _screen("fire_on_reset", "bool", "FIRE at the start of a life", default=True),
    _screen("clip_reward", "bool", "the reward is its sign", default=True),
    Parameter("n_bins", "list", "bins of each dimension of an observation", _BINS, _TABULAR),
    Parameter("repeat", "int", "steps per agent step", _ACTION_REPEAT, _TABULAR, key="frame_skip"),
    Parameter(
        "dueling",
        "bool",
        "separate streams of value and advantages",
        _POLICY,
        ("dqn", "fast_dqn"),
        policies=_DUELING,
        default=False,
    ),
    _extractor("layers", "lists", "convolutions, [channels, kernel, stride] each"),
    _extractor("features_dim", "int", "units behind the convolutions", default=512),
    _extractor(
        "activation_fn", "word", "of AtariCNN", words=("relu", "leaky_relu"), default="relu"
    ),
    _extractor("weight_init", "word", "of AtariCNN", words=("default", "he"), default="default"),
    Parameter("net_arch", "list", "widths of the dense layers", _POLICY),
    Parameter("n_quantiles", "int", "quantiles per action", _POLICY, ("qrdqn",)),
    Parameter("initial_value", "float", "of the Q-table's cells", _POLICY, _TABULAR, default=0.0),
    RatePart("learning_rate_schedule", "word", "constant, or linear to 0", words=_SCHEDULES),
    RatePart(
        "learning_rate_schedule",
        "word",
        "constant, linear to 0, or one over the visits of a cell",
        algos=_TABULAR,
        words=(*_SCHEDULES, VISITS),
    ),
    RatePart(
        "learning_rate",
        "float",
        "where it begins",
        algos=ALGORITHMS,
        governor="learning_rate_schedule",
        applies=lambda hyperparams: hyperparams.get("learning_rate") != VISITS,
    ),
    Gamma("gamma", "float", "discount per agent step", algos=ALGORITHMS),
    NSteps("n_steps", "int", "steps of the n-step return", default=1),
    Parameter("double_q", "bool", "Double DQN", algos=("fast_dqn",), default=False),
    Parameter("batch_size", "int", "transitions"),
    Parameter("train_freq", "int", "steps between updates, all environments step at once"),
    UpdatesPerStep("updates_per_step", "float", "gradient steps per transition"),
    Parameter("target_update_interval", "int", "agent steps"),
    Parameter("max_grad_norm", "float", "longest gradient"),
    Parameter("compile", "bool", "compile the loss, half a minute", algos=("fast_dqn",)),
    Parameter("buffer_size", "int", "transitions in the replay buffer"),
    Parameter("learning_starts", "int", "agent steps before the first update"),
    Parameter("exploration_fraction", "float", "share of the training in which epsilon falls"),
    Parameter("exploration_initial_eps", "float", "epsilon at the start"),
    Parameter("exploration_final_eps", "float", "epsilon at the end"),
    EpsilonPart(
        "exploration_schedule",
        "word",
        "constant, linear to 0, or a decay by episodes",
        algos=_TABULAR,
        words=(*_SCHEDULES, "episodes"),
    ),
    EpsilonPart("initial_eps", "float", "epsilon at the start", algos=_TABULAR),
    _by_episodes("final_eps", "float", "limit of epsilon"),
    _by_episodes("decay", "float", "of epsilon, per episode"),
)
