"""The parameters that can be tuned, in the order in which they are chosen and written."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sb3_atari_course.q_learning.schedules import VISITS
from sb3_atari_course.tuning.places import (
    At,
    Hyperparams,
    NStack,
    NSteps,
    Owner,
    Place,
    UpdatesPerStep,
    dueling_policy,
    features,
    policy_kwargs,
    top,
    wrapper,
)
from sb3_atari_course.tuning.schedule_places import (
    EpsilonSchedule,
    InitialEpsilon,
    Rate,
    RateSchedule,
    by_episodes,
)

_NETWORKS = ("dqn", "qrdqn", "fast_dqn")
_TABLE = ("q_learning",)

#: What can be tuned.
ALGORITHMS = (*_NETWORKS, *_TABLE)


@dataclass(frozen=True, eq=False)
class Parameter:
    """One thing that can be tuned.

    :param name: how spaces, the command line and Optuna call it.
    :param kind: of its values: see :data:`~sb3_atari_course.tuning.domains.KINDS`.
    :param place: where it stands in a yml.
    :param meaning: what it is, with its unit.
    :param algos: who knows it.
    :param words: the values that a word may have.
    :param governor: the parameter chosen before that decides whether there is anything to choose.
    :param applies: tells from the yml, with the governor written, whether there is.
    :param default: what a yml means that says nothing of it.
    """

    name: str
    kind: str
    place: Place
    meaning: str
    algos: tuple[str, ...] = _NETWORKS
    words: tuple[str, ...] = ()
    governor: str | None = None
    applies: Callable[[Hyperparams], bool] = lambda hyperparams: True
    default: Any = None

    def read(self, hyperparams: Hyperparams) -> Any:
        """Return the value in a yml.

        :raises ValueError: if there is no such place in the yml.
        """
        try:
            value = self.place.read(hyperparams)
        except ValueError as error:
            raise ValueError(f"parameter {self.name} {error}") from None
        return self.default if value is None else value


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


def _at(name: str, kind: str, owner: Owner, meaning: str, *algos: str, **more: Any) -> Parameter:
    return Parameter(name, kind, At(owner, name), meaning, algos or _NETWORKS, **more)


def _has_rate(hyperparams: Hyperparams) -> bool:
    return hyperparams.get("learning_rate") != VISITS


def _is_by_episodes(hyperparams: Hyperparams) -> bool:
    return isinstance(hyperparams.get("exploration"), dict)


def _of_episodes(name: str, meaning: str) -> Parameter:
    return Parameter(
        name,
        "float",
        At(by_episodes, name),
        meaning,
        _TABLE,
        governor="exploration_schedule",
        applies=_is_by_episodes,
    )


_wrap_atari = wrapper("sb3_atari_course.envs.wrap_atari")
_bins = wrapper("sb3_atari_course.wrappers.DiscretizeObservations")
_action_repeat = wrapper("sb3_atari_course.wrappers.ActionRepeat")
_SCHEDULES = ("constant", "linear")

_SCREEN = (
    _at("crop", "list", _wrap_atari, "[top, bottom, left, right] in pixels, null: whole screen"),
    _at("shape", "list", _wrap_atari, "[height, width] of a picture, in pixels", default=[84, 84]),
    Parameter("n_stack", "int", NStack(_wrap_atari), "pictures in one observation"),
    _at("frame_skip", "int", _wrap_atari, "frames per agent step", default=4),
    _at(
        "noop_max", "int", _wrap_atari, "most no-ops at the start of a game, in frames", default=30
    ),
    _at("terminal_on_life_loss", "bool", _wrap_atari, "a lost life ends an episode", default=True),
    _at("fire_on_reset", "bool", _wrap_atari, "press FIRE at the start of a life", default=True),
    _at("clip_reward", "bool", _wrap_atari, "pay the sign of the reward", default=True),
    _at("n_bins", "list", _bins, "bins of each dimension of an observation", *_TABLE),
    Parameter("repeat", "int", At(_action_repeat, "frame_skip"), "steps per agent step", _TABLE),
)
_NETWORK = (
    _at(
        "dueling",
        "bool",
        dueling_policy,
        "value and advantages apart",
        "dqn",
        "fast_dqn",
        default=False,
    ),
    _at("layers", "lists", features, "convolutions, [channels, kernel, stride] each"),
    _at("features_dim", "int", features, "units behind the convolutions", default=512),
    _at(
        "activation_fn",
        "word",
        features,
        "of AtariCNN",
        words=("relu", "leaky_relu"),
        default="relu",
    ),
    _at("weight_init", "word", features, "of AtariCNN", words=("default", "he"), default="default"),
    _at("net_arch", "list", policy_kwargs, "widths of the dense layers"),
    _at("n_quantiles", "int", policy_kwargs, "quantiles per action", "qrdqn"),
    _at("initial_value", "float", policy_kwargs, "of the cells of the table", *_TABLE, default=0.0),
)
_LEARNING = (
    Parameter(
        "learning_rate_schedule",
        "word",
        RateSchedule(),
        "constant, or linear to 0",
        words=_SCHEDULES,
    ),
    Parameter(
        "learning_rate_schedule",
        "word",
        RateSchedule(),
        "constant, linear to 0, or one over the visits of a cell",
        _TABLE,
        (*_SCHEDULES, VISITS),
    ),
    Parameter(
        "learning_rate",
        "float",
        Rate(),
        "where it begins",
        ALGORITHMS,
        governor="learning_rate_schedule",
        applies=_has_rate,
    ),
    _at("gamma", "float", top, "discount per agent step", *ALGORITHMS),
    Parameter("n_steps", "int", NSteps(), "steps of reward before the estimate"),
    _at("double_q", "bool", top, "Double DQN", "fast_dqn", default=False),
    _at("batch_size", "int", top, "transitions"),
    _at("train_freq", "int", top, "steps between updates, all environments step at once"),
    Parameter("updates_per_step", "float", UpdatesPerStep(), "gradient steps per transition"),
    _at("target_update_interval", "int", top, "agent steps"),
    _at("max_grad_norm", "float", top, "longest gradient"),
    _at("compile", "bool", top, "compile the loss, half a minute at the start", "fast_dqn"),
    _at("buffer_size", "int", top, "transitions in the memory"),
    _at("learning_starts", "int", top, "agent steps before the first update"),
)
_EXPLORATION = (
    _at("exploration_fraction", "float", top, "share of the training in which epsilon falls"),
    _at("exploration_initial_eps", "float", top, "epsilon at the start"),
    _at("exploration_final_eps", "float", top, "epsilon at the end"),
    Parameter(
        "exploration_schedule",
        "word",
        EpsilonSchedule(),
        "constant, linear to 0, or a decay by episodes",
        _TABLE,
        (*_SCHEDULES, "episodes"),
    ),
    Parameter("initial_eps", "float", InitialEpsilon(), "epsilon at the start", _TABLE),
    _of_episodes("final_eps", "what epsilon tends to"),
    _of_episodes("decay", "of epsilon, per episode"),
)
_PARAMETERS = (*_SCREEN, *_NETWORK, *_LEARNING, *_EXPLORATION)
