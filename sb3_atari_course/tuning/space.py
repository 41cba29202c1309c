"""Search spaces: parameters, their path in a yml entry, and their values.

``hyperparams/spaces/parameters.yml`` lists the predefined parameters. Most are one key at a dotted
path of the yml entry; the others are read and written by a subclass of :class:`Parameter`:
:class:`NStack`, :class:`NSteps`, :class:`UpdatesPerStep`, and :class:`SchedulePart` for the number
and the schedule of the learning rate and of Q-learning's exploration.
"""

from __future__ import annotations

import ast
import copy
import difflib
import functools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import BaseTrial, FixedTrial

from sb3_atari_course.envs import is_atari
from sb3_atari_course.hyperparams import space_file
from sb3_atari_course.q_learning.schedules import VISITS
from sb3_atari_course.zoo.experiment import early_start
from sb3_atari_course.zoo.yml_entry import Hyperparams

#: Values of a parameter: a tuple of choices (a single one is frozen), or a range as the arguments
#: ``low``, ``high`` and ``log`` of Optuna's ``suggest_...``.
Values = tuple[Any, ...] | dict[str, Any]

#: Nesting depth of lists within one value, by the type of the parameter.
_DEPTHS = {"list": 1, "lists": 2}

#: Conditional parameter -> the schedule, sampled before it, on which it depends.
_DEPENDS_ON = {
    "learning_rate": "learning_rate_schedule",
    "final_eps": "exploration_schedule",
    "decay": "exploration_schedule",
}

#: Initial learning rate if ``learning_rate: visits``, which has no number, is replaced.
_RATE_WITHOUT_NUMBER = 0.1

#: Epsilon decay per episode, if the yml has none.
_DEFAULT_DECAY = {"initial_eps": 1.0, "final_eps": 0.05, "decay": 0.001}

#: Numbers that YAML reads as strings.
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


@dataclass(frozen=True, eq=False)
class Parameter:
    """A tunable hyperparameter: one key in a (nested) mapping of the yml entry.

    :param name: its name in spaces, on the command line and in Optuna.
    :param path: keys separated by dots; below ``env_wrapper`` the second key is the name of a
        wrapper class or function without its package.
    :param meaning: description with unit, printed by ``--list-params``.
    :param type: ``"float"``, ``"list"``, ``"lists"`` (of lists), or ``""``: that of the value.
    :param policy: only for policy classes whose name starts with this.
    :param default: the value if the yml entry has none.
    """

    name: str
    path: str
    meaning: str = ""
    type: str = ""
    policy: str = ""
    default: Any = None

    def read(self, hyperparams: Hyperparams) -> Any:
        """Return the value in a yml entry.

        :raises ValueError: if the parameter does not apply to the entry.
        """
        mapping, key = self._place(hyperparams)
        value = mapping.get(key)
        return self.default if value is None else value

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Set the value in a yml entry.

        :raises ValueError: if the parameter does not apply to the entry.
        """
        mapping, key = self._place(hyperparams)
        mapping[key] = value

    def applies_to(self, hyperparams: Hyperparams) -> bool:
        """Return whether the parameter exists in a yml entry, or can be added."""
        try:
            self.read(copy.deepcopy(hyperparams))
        except ValueError:
            return False
        return True

    def _place(self, hyperparams: Hyperparams) -> tuple[dict[str, Any], str]:
        policy = str(hyperparams.get("policy"))
        if not policy.rpartition(".")[2].startswith(self.policy):
            raise ValueError(f"parameter {self.name} does not apply to the policy {policy}")
        return self._at(hyperparams, self.path)

    def _at(self, hyperparams: Hyperparams, path: str) -> tuple[dict[str, Any], str]:
        keys, _, last = path.rpartition(".")
        try:
            return _mapping_at(hyperparams, keys), last
        except ValueError as error:
            raise ValueError(f"parameter {self.name} {error}") from None


class NStack(Parameter):
    """Frame stacking: ``frame_stack``, or ``n_stack`` of ``wrap_atari``."""

    def _place(self, hyperparams: Hyperparams) -> tuple[dict[str, Any], str]:
        return self._at(hyperparams, "frame_stack" if hyperparams.get("frame_stack") else self.path)


class NSteps(Parameter):
    """N-step returns: ``n_steps`` of the replay buffer if the yml sets its class, else of SB3."""

    def _place(self, hyperparams: Hyperparams) -> tuple[dict[str, Any], str]:
        is_ours = hyperparams.get("replay_buffer_class") is not None
        return self._at(hyperparams, "replay_buffer_kwargs.n_steps" if is_ours else "n_steps")


class UpdatesPerStep(Parameter):
    """Gradient steps per transition: ``gradient_steps / (train_freq * n_envs)``."""

    def read(self, hyperparams: Hyperparams) -> Any:
        """Return the ratio."""
        n_updates = hyperparams.get("gradient_steps", 1)
        return 1.0 if n_updates == -1 else n_updates / self._n_transitions(hyperparams)

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Set ``gradient_steps`` to the nearest integer, at least 1."""
        hyperparams["gradient_steps"] = max(1, round(value * self._n_transitions(hyperparams)))

    def _n_transitions(self, hyperparams: Hyperparams) -> int:
        n_steps = hyperparams.get("train_freq", 4)
        if not isinstance(n_steps, int):
            raise ValueError(f"parameter {self.name} needs a train_freq in steps, got {n_steps!r}")
        return n_steps * int(hyperparams.get("n_envs", 1))


class SchedulePart(Parameter):
    """Schedule or number of ``0.001``, ``lin_0.001``, ``visits``, or epsilon decay per episode."""

    def read(self, hyperparams: Hyperparams) -> Any:
        """Return the schedule's name, or its number."""
        schedule, number = self._split(hyperparams)
        if self._is_schedule():
            return schedule
        if schedule == VISITS:
            raise ValueError(
                f"parameter {self.name} has no effect with {VISITS}: add {self.name}_schedule"
            )
        return number

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Change the schedule and keep the number, or vice versa."""
        schedule, number = self._split(hyperparams)
        if self._is_schedule():
            schedule = value
        else:
            number = value
        given = hyperparams[self.path]
        epsilon = given if isinstance(given, dict) else _DEFAULT_DECAY
        written = {
            "constant": number,
            "linear": f"lin_{number:.10g}" if isinstance(number, float) else number,
            VISITS: VISITS,
            "episodes": {**epsilon, "initial_eps": number},
        }
        if schedule not in written:
            raise ValueError(f"{self.name} must be one of {', '.join(written)}, got {schedule!r}")
        hyperparams[self.path] = written[schedule]

    def _is_schedule(self) -> bool:
        return self.name.endswith("_schedule")

    def _split(self, hyperparams: Hyperparams) -> tuple[str, float]:
        given = hyperparams.get(self.path)
        if given == VISITS:
            return VISITS, _RATE_WITHOUT_NUMBER
        if isinstance(given, dict):
            return "episodes", float(given.get("initial_eps", _DEFAULT_DECAY["initial_eps"]))
        if isinstance(given, str) and given.startswith("lin_"):
            return "linear", float(given[4:])
        if not isinstance(given, (int, float)):
            raise ValueError(
                f"parameter {self.name} needs {self.path} in the yml, such as 0.001 or lin_0.001,"
                f" got {given!r}"
            )
        return "constant", float(given)


_COMPOSITE: dict[str, type[Parameter]] = {
    "n_stack": NStack,
    "n_steps": NSteps,
    "updates_per_step": UpdatesPerStep,
    "learning_rate_schedule": SchedulePart,
    "learning_rate": SchedulePart,
    "exploration_schedule": SchedulePart,
    "initial_eps": SchedulePart,
}


@functools.cache
def parameters_of(algo: str) -> dict[str, Parameter]:
    """Return the predefined parameters of an algorithm in sampling order: name -> parameter."""
    table = yaml.safe_load(space_file("parameters").read_text(encoding="utf-8"))[algo]
    return {
        name: _COMPOSITE.get(name, Parameter)(**{"name": name, "path": name, **record})
        for name, record in table.items()
    }


def _mapping_at(hyperparams: Hyperparams, path: str) -> dict[str, Any]:
    """Return the mapping at a path; missing ``..._kwargs`` are added.

    :raises ValueError: if a key on the path is not a mapping.
    """
    keys = path.split(".") if path else []
    if keys[:1] == ["env_wrapper"]:
        return _wrapper_arguments(hyperparams, ".".join(keys[1:]))
    found = hyperparams
    for key in keys:
        given = found.get(key)
        if given is None and key.endswith("_kwargs"):
            given = {}
        if isinstance(given, str):
            given = _literal_dict(given)
        if not isinstance(given, dict):
            raise ValueError(f"needs {key} as a mapping of plain values, got {found.get(key)!r}")
        found[key] = given
        found = given
    return found


def _wrapper_arguments(hyperparams: Hyperparams, name: str) -> dict[str, Any]:
    """Return the arguments of the wrapper of this name in ``env_wrapper``."""
    given = hyperparams.get("env_wrapper") or []
    wrappers = given if isinstance(given, list) else [given]
    for i, one in enumerate(wrappers):
        path, arguments = next(iter(one.items())) if isinstance(one, dict) else (one, None)
        if path.rpartition(".")[2] == name:
            found: dict[str, Any] = arguments or {}
            wrappers[i] = {path: found}
            hyperparams["env_wrapper"] = wrappers
            return found
    raise ValueError(f"needs {name} in env_wrapper")


def _literal_dict(text: str) -> dict[str, Any] | None:
    """Parse ``"dict(a=1)"``, which RL Zoo would evaluate; return None for other expressions."""
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "dict" and not call.args:
            return {one.arg: ast.literal_eval(one.value) for one in call.keywords if one.arg}
        found = ast.literal_eval(call)
    except (ValueError, SyntaxError):
        return None
    return found if isinstance(found, dict) else None


def suggest(trial: BaseTrial, name: str, values: Values) -> Any:
    """Sample a value with Optuna, which stores lists and null as JSON, and no frozen values.

    :return: the value; floats of a range are rounded to three significant digits.
    """
    if isinstance(values, tuple):
        stored = {_category(value): value for value in values}
        if len(stored) == 1:
            return values[0]
        return stored[trial.suggest_categorical(name, list(stored))]
    if isinstance(values["low"], int):
        return trial.suggest_int(name, **values)
    value = trial.suggest_float(name, **values)
    return min(max(float(f"{value:.3g}"), values["low"]), values["high"])


def stored_value(values: Values, value: Any) -> Any:
    """Return ``value`` as Optuna stores it, None if it is not one of ``values``."""
    if isinstance(values, tuple):
        return _category(value) if value in values else None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not values["low"] <= value <= values["high"]:
        return None
    return None if isinstance(values["low"], int) and value != int(value) else value


def _checked(values: Values) -> tuple[Any, ...]:
    """Return the values checked before a study starts: all choices, or the bounds of a range."""
    return values if isinstance(values, tuple) else (values["low"], values["high"])


def _category(value: Any) -> Any:
    """Return a value as Optuna can store it: lists and null as JSON."""
    return json.dumps(value) if value is None or isinstance(value, (list, tuple)) else value


def parse_values(parameter: Parameter, content: Any) -> Values:
    """Parse the values of one parameter in a space file or ``--param``.

    :param parameter: its type decides whether a list is one value or several choices.
    :param content: a list of choices, a mapping with ``low`` and ``high`` (and ``log``), or one
        value. If values are lists themselves, only a list of lists (or nulls) is a list of choices.
    :raises ValueError: if it is none of these.
    """
    is_float = parameter.type == "float"
    if isinstance(content, dict):
        ends = {key: _number(value, is_float) for key, value in content.items()}
        return _parse_range(parameter.name, ends)
    if not isinstance(content, list) or _depth(content) <= _DEPTHS.get(parameter.type, 0):
        return (_number(content, is_float),)
    if not content:
        raise ValueError(f"{parameter.name}: the list of choices is empty")
    values = tuple(_number(value, is_float) for value in content)
    if len({_category(value) for value in values}) < len(values):
        raise ValueError(f"{parameter.name}: duplicate choice in {content!r}")
    return values


def _number(value: Any, is_float: bool) -> Any:
    """Convert ``1e-4``, which YAML reads as a string, to a number; return other values as is."""
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)
        return int(value) if value.is_integer() and not is_float else value
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_float and is_whole else value


def _depth(content: Any) -> int:
    """Return the nesting depth of lists; null counts as a list."""
    if content is None:
        return 1
    return 1 + max(map(_depth, content), default=0) if isinstance(content, list) else 0


def _parse_range(name: str, content: dict[str, Any]) -> Values:
    if not {"low", "high"} <= set(content) <= {"low", "high", "log"}:
        raise ValueError(
            f"{name}: a range needs the keys low and high (log is optional), got {content!r}"
        )
    ends, log = [content["low"], content["high"]], content.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"{name}: log must be true or false, got {log!r}")
    for end in ends:
        if isinstance(end, bool) or not isinstance(end, (int, float)) or not math.isfinite(end):
            raise ValueError(f"{name}: low and high must be finite numbers, got {content!r}")
    low, high = ends if {*map(type, ends)} == {int} else map(float, ends)
    if not low < high or (log and low <= 0):
        wanted = "0 < low < high for a logarithmic range" if log else "low < high"
        raise ValueError(f"{name}: {wanted}, got {content!r}")
    return {"low": low, "high": high, "log": log}


class Space:
    """A search space: parameters and their values.

    :param algo: RL Zoo's name of the algorithm.
    :param content: parameter -> a list of choices, a mapping with ``low``, ``high`` and optionally
        ``log``, or the single value at which it is frozen; or a mapping with one of these as
        ``values``, and a ``path`` (default: the name), a ``meaning``, a ``type``.
    :raises ValueError: for anything else.
    """

    def __init__(self, algo: str, content: Mapping[str, Any]) -> None:
        known = parameters_of(algo)
        names = [name for name in known if name in content]
        names += [name for name in content if name not in known]
        self._values: dict[Parameter, Values] = {}
        self._records: dict[str, dict[str, Any]] = {}
        for name in names:
            record, values = _split_record(name, content[name])
            self._records[name] = record
            is_new = "path" in record or name not in known
            parameter = replace(Parameter(name, name) if is_new else known[name], **record)
            self._values[parameter] = parse_values(parameter, values)

    def content(self) -> dict[str, Any]:
        """Return parameter -> values as plain data, in sampling order."""
        found: dict[str, Any] = {}
        for one, values in self._values.items():
            plain: Any = values
            if isinstance(values, tuple):
                plain = values[0] if len(values) == 1 else list(values)
            record = self._records[one.name]
            found[one.name] = {**record, "values": plain} if record else plain
        return found

    def parameters(self) -> dict[str, Parameter]:
        """Return name -> parameter."""
        return {one.name: one for one in self._values}

    def tuned(self) -> list[str]:
        """Return the names of the parameters that have more than one value."""
        return [one.name for one, values in self._values.items() if len(values) > 1]

    def suggest(self, trial: BaseTrial, hyperparams: Hyperparams) -> Hyperparams:
        """Sample a value for each parameter, and return a copy of the yml entry with them.

        :param trial: an Optuna trial, or fixed values (:class:`optuna.trial.FixedTrial`).
        :param hyperparams: the yml entry.
        """
        result = copy.deepcopy(hyperparams)
        for one, values in self._values.items():
            if not self._is_conditional(one) or one.applies_to(result):
                one.write(result, suggest(trial, one.name, values))
        _share_gamma(result)
        return result

    def fill(self, params: Mapping[str, Any], hyperparams: Hyperparams) -> Hyperparams:
        """Return the yml entry of a finished trial.

        :param params: its parameters as Optuna stores them.
        :param hyperparams: the yml entry of the study.
        """
        return self.suggest(FixedTrial(dict(params)), hyperparams)

    def start(self, hyperparams: Hyperparams) -> dict[str, Any]:
        """Return the yml entry's own values, as Optuna stores them, if the space includes them."""
        scratch = copy.deepcopy(hyperparams)
        found = {}
        for one, values in self._values.items():
            if self._is_conditional(one) and not one.applies_to(scratch):
                continue
            if isinstance(values, tuple) and len(values) == 1:
                one.write(scratch, values[0])
            else:
                found[one.name] = stored_value(values, one.read(scratch))
        return {name: value for name, value in found.items() if value is not None}

    def first(self, hyperparams: Hyperparams) -> Hyperparams:
        """Return the yml entry, with a parameter's first value where its own is not in the space.

        :raises ValueError: if a parameter does not apply to the entry.
        """
        lowest = {one.name: _category(_checked(values)[0]) for one, values in self._values.items()}
        return self.fill({**lowest, **self.start(hyperparams)}, hyperparams)

    def variants(self, entry: Hyperparams) -> Iterator[tuple[Parameter, Any, Hyperparams]]:
        """Yield parameter, value and changed entry, for each choice and each bound of a range."""
        for one, values in self._values.items():
            for value in _checked(values) if len(values) > 1 and one.applies_to(entry) else ():
                variant = copy.deepcopy(entry)
                one.write(variant, value)
                _share_gamma(variant)
                yield one, value, variant

    def _is_conditional(self, parameter: Parameter) -> bool:
        schedule = _DEPENDS_ON.get(parameter.name)
        return any(one.name == schedule for one in self._values)


def _split_record(name: str, content: Any) -> tuple[dict[str, Any], Any]:
    """Split an entry of a space file into path, type and meaning, and the values."""
    if not isinstance(content, dict) or not {"path", "values"} & set(content):
        return {}, content
    record = dict(content)
    if not {"values"} <= set(content) <= {"path", "values", "meaning", "type", "default"}:
        raise ValueError(
            f"{name}: allowed keys are path, values (required), meaning, type and default, got"
            f" {content!r}"
        )
    values = record.pop("values")
    return record, values


def _share_gamma(hyperparams: Hyperparams) -> None:
    """Set the gamma of an n-step replay buffer to the algorithm's."""
    if hyperparams.get("replay_buffer_kwargs"):
        kwargs = _mapping_at(hyperparams, "replay_buffer_kwargs")
        if "n_steps" in kwargs:
            kwargs["gamma"] = hyperparams.get("gamma", 0.99)  # SB3's default


def load_space(algo: str, env_id: str, path: str | None = None) -> dict[str, Any]:
    """Return the content of a space file for one environment: its id, ``atari``, or ``default``.

    :param algo: RL Zoo's name of the algorithm.
    :param env_id: Gymnasium's id of the environment.
    :param path: a yml file; None for ours.
    :raises ValueError: if the file cannot be read, or has no entry for this environment.
    """
    file = Path(path) if path else space_file(algo)
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"cannot read the space file {file}: {error}") from None
    keys = [env_id, "atari" if is_atari(env_id) else "default"]
    for key in keys:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            return {str(name): values for name, values in content[key].items()}
    raise ValueError(f"{file} has no parameters for {' or '.join(keys)}")


def adapt_space(
    algo: str,
    content: Mapping[str, Any],
    *,
    params: Iterable[str] = (),
    freeze: Iterable[str] = (),
    only: Iterable[str] = (),
) -> dict[str, Any]:
    """Apply the command line's changes to a search space.

    :param algo: RL Zoo's name of the algorithm.
    :param content: of a :class:`Space`.
    :param params: ``NAME=VALUES``, with VALUES in the syntax of a space file.
    :param freeze: parameters to leave as the yml of the hyperparameters has them.
    :param only: the only parameters to tune; frozen ones stay frozen, others keep the yml's value.
    :raises ValueError: for an unknown parameter or invalid YAML.
    """
    changed = dict(content)
    for text in params:
        name, equals, values = text.partition("=")
        if not equals:
            raise ValueError(
                f"--param must be NAME=VALUES, for example gamma=[0.99,0.999], got {text!r}"
            )
        try:
            parsed = yaml.safe_load(values)
        except yaml.YAMLError:
            raise ValueError(f"--param {name}: {values!r} is not valid YAML") from None
        record, _ = _split_record(name, changed.get(name))
        changed[name] = {**record, "values": parsed} if record else parsed
    known = {*parameters_of(algo), *changed}
    for name in (*freeze, *only):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ValueError(f"unknown parameter {name!r} of {algo}: {hint}see --list-params")
        if name in only and name not in changed:
            raise ValueError(
                f"--only {name}: the space has no values for it, add --param {name}=VALUES"
            )
    tuned = Space(algo, changed).tuned()
    dropped = {*freeze, *(name for name in tuned if only and name not in set(only))}
    return {name: values for name, values in changed.items() if name not in dropped}


def drop_late_learning_starts(
    content: Mapping[str, Any], hyperparams: Hyperparams, n_timesteps: int
) -> dict[str, Any]:
    """Return a space without choices of ``learning_starts`` beyond the end of training.

    :param content: of a :class:`Space`.
    :param hyperparams: the yml entry, used if the space has no ``learning_starts``.
    :param n_timesteps: agent steps per training run.
    :raises ValueError: if no choice is left.
    """
    given = content.get("learning_starts", hyperparams.get("learning_starts", 0))
    latest = given.get("high") if isinstance(given, dict) else given
    starts = latest if isinstance(latest, list) else [latest]
    left = [one for one in starts if not isinstance(one, (int, float)) or one < n_timesteps]
    if not left:
        raise ValueError(
            f"learning_starts {_in_a_line(given)} is not before the end of training after"
            f" {n_timesteps} steps, so nothing would be learned: add --param"
            f" learning_starts={early_start(n_timesteps)}, or train longer (-n)"
        )
    is_list = isinstance(content.get("learning_starts"), list)
    return {**content, "learning_starts": left} if is_list else {**content}


def describe_space(algo: str, content: Mapping[str, Any], hyperparams: Hyperparams) -> str:
    """Return the table of ``--list-params``: parameter, value in the yml, search space, meaning.

    :param algo: RL Zoo's name of the algorithm.
    :param content: of a :class:`Space`.
    :param hyperparams: the yml entry; parameters that do not apply to it are left out.
    """
    rows = [("parameter", "in the yml", "search space", "meaning")]
    for name, one in {**parameters_of(algo), **Space(algo, content).parameters()}.items():
        applies = one.applies_to(hyperparams)
        if applies or name in content:
            value = one.read(copy.deepcopy(hyperparams)) if applies else None
            shown = "" if value is None else _in_a_line(value)
            values = _in_a_line(content[name]) if name in content else ""
            rows.append((name, shown, values, one.meaning))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        "  ".join([*(f"{cell:<{n}}" for cell, n in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )


def _in_a_line(content: Any) -> str:
    text: str = yaml.safe_dump(content, default_flow_style=True, sort_keys=False, width=1000)
    return text.removesuffix("...\n").strip()
