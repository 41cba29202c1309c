"""Search spaces: parameters, where they stand in a yml, and the values that they may take.

``hyperparams/spaces/parameters.yml`` has the parameters that are known by name: most are one key at
a dotted path of the yml. Where it takes more than that, a subclass of :class:`Parameter` reads and
writes it: :class:`NStack`, :class:`NSteps`, :class:`UpdatesPerStep`, and :class:`SchedulePart` for
the number and the schedule of a learning rate and of Q-learning's exploration.
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

#: One entry of a yml, as plain values.
Hyperparams = dict[str, Any]

#: What a parameter may be: some values, in no order (one alone is frozen), or all numbers of a
#: range, as the arguments ``low``, ``high`` and ``log`` of Optuna's ``suggest_...``.
Values = tuple[Any, ...] | dict[str, Any]

#: How deep the lists in one value are nested, by the type of the parameter.
_DEPTHS = {"list": 1, "lists": 2}

#: Which parameter decides whether another one has a place in the yml; it is chosen before.
_GOVERNORS = {
    "learning_rate": "learning_rate_schedule",
    "final_eps": "exploration_schedule",
    "decay": "exploration_schedule",
}

#: Stands for the number in ``learning_rate: visits``, which holds none.
_RATE_BESIDE_VISITS = 0.1

#: Epsilon of an ``exploration`` by episodes, where the yml has none.
_DEFAULT_DECAY = {"initial_eps": 1.0, "final_eps": 0.05, "decay": 0.001}

#: Numbers that YAML takes for strings.
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


@dataclass(frozen=True, eq=False)
class Parameter:
    """One thing that can be tuned: a key in a mapping of the yml.

    :param name: as spaces, the command line and Optuna call it.
    :param path: keys that lead to it, separated by dots; in ``env_wrapper`` the second names a
        wrapper by the last part of its dotted path.
    :param meaning: what it is, with its unit.
    :param type: ``"float"``, ``"list"``, ``"lists"`` (of lists), or whatever a value looks like.
    :param policy: how the names of the policy classes begin that take it.
    :param default: the value if the yml has none.
    """

    name: str
    path: str
    meaning: str = ""
    type: str = ""
    policy: str = ""
    default: Any = None

    def read(self, hyperparams: Hyperparams) -> Any:
        """Return the value in a yml.

        :raises ValueError: if the yml has no place for it.
        """
        mapping, key = self._place(hyperparams)
        value = mapping.get(key)
        return self.default if value is None else value

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Put a value into a yml.

        :raises ValueError: if the yml has no place for it.
        """
        mapping, key = self._place(hyperparams)
        mapping[key] = value

    def has_place(self, hyperparams: Hyperparams) -> bool:
        """Return whether a yml has a place for it."""
        try:
            self.read(copy.deepcopy(hyperparams))
        except ValueError:
            return False
        return True

    def _place(self, hyperparams: Hyperparams) -> tuple[dict[str, Any], str]:
        policy = str(hyperparams.get("policy"))
        if not policy.rpartition(".")[2].startswith(self.policy):
            raise ValueError(f"parameter {self.name} needs another policy than {policy}")
        return self._at(hyperparams, self.path)

    def _at(self, hyperparams: Hyperparams, path: str) -> tuple[dict[str, Any], str]:
        keys, _, last = path.rpartition(".")
        try:
            return _mapping_at(hyperparams, keys), last
        except ValueError as error:
            raise ValueError(f"parameter {self.name} {error}") from None


class NStack(Parameter):
    """Frames in one observation: ``frame_stack``, or ``n_stack`` of wrap_atari."""

    def _place(self, hyperparams: Hyperparams) -> tuple[dict[str, Any], str]:
        return self._at(hyperparams, "frame_stack" if hyperparams.get("frame_stack") else self.path)


class NSteps(Parameter):
    """Steps of the n-step return: of our replay buffer, else of the algorithm."""

    def _place(self, hyperparams: Hyperparams) -> tuple[dict[str, Any], str]:
        is_ours = hyperparams.get("replay_buffer_class") is not None
        return self._at(hyperparams, "replay_buffer_kwargs.n_steps" if is_ours else "n_steps")


class UpdatesPerStep(Parameter):
    """Updates for each transition: ``gradient_steps`` over ``train_freq`` and ``n_envs``."""

    def read(self, hyperparams: Hyperparams) -> Any:
        """Return the ratio."""
        n_updates = hyperparams.get("gradient_steps", 1)
        return 1.0 if n_updates == -1 else n_updates / self._n_transitions(hyperparams)

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Set the updates that come nearest to the ratio, at least one."""
        hyperparams["gradient_steps"] = max(1, round(value * self._n_transitions(hyperparams)))

    def _n_transitions(self, hyperparams: Hyperparams) -> int:
        n_steps = hyperparams.get("train_freq", 4)
        if not isinstance(n_steps, int):
            raise ValueError(f"parameter {self.name} needs a train_freq in steps, not {n_steps!r}")
        return n_steps * int(hyperparams.get("n_envs", 1))


class SchedulePart(Parameter):
    """Schedule or number of ``0.001``, ``lin_0.001``, ``visits``, or an epsilon by episodes."""

    def read(self, hyperparams: Hyperparams) -> Any:
        """Return this part."""
        schedule, number = self._split(hyperparams)
        if self._is_schedule():
            return schedule
        if schedule == VISITS:
            raise ValueError(f"parameter {self.name} needs another {self.name}_schedule: add it")
        return number

    def write(self, hyperparams: Hyperparams, value: Any) -> None:
        """Change this part and leave the other."""
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
            VISITS: VISITS,  # needs no number
            "episodes": {**epsilon, "initial_eps": number},
        }
        if schedule not in written:
            raise ValueError(f"{self.name} is one of {', '.join(written)}, got {schedule!r}")
        hyperparams[self.path] = written[schedule]

    def _is_schedule(self) -> bool:
        return self.name.endswith("_schedule")

    def _split(self, hyperparams: Hyperparams) -> tuple[str, float]:
        given = hyperparams.get(self.path)
        if given == VISITS:
            return VISITS, _RATE_BESIDE_VISITS
        if isinstance(given, dict):
            return "episodes", float(given.get("initial_eps", _DEFAULT_DECAY["initial_eps"]))
        if isinstance(given, str) and given.startswith("lin_"):
            return "linear", float(given[4:])
        if not isinstance(given, (int, float)):
            raise ValueError(
                f"parameter {self.name} needs {self.path} in the yml, a number or lin_ with a"
                f" number, got {given!r}"
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
    """Return what is known by name of an algorithm, in the order of choice: name -> parameter."""
    table = yaml.safe_load(space_file("parameters").read_text(encoding="utf-8"))[algo]
    return {
        name: _COMPOSITE.get(name, Parameter)(**{"name": name, "path": name, **record})
        for name, record in table.items()
    }


def _mapping_at(hyperparams: Hyperparams, path: str) -> dict[str, Any]:
    """Return the mapping at a path; missing ``..._kwargs`` are added.

    :raises ValueError: if there is none.
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
            raise ValueError(f"needs {key} as a mapping of plain values, not {found.get(key)!r}")
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
    """Return the mapping in ``"dict(a=1)"``, which RL Zoo would evaluate; None if there is none."""
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "dict" and not call.args:
            return {one.arg: ast.literal_eval(one.value) for one in call.keywords if one.arg}
        found = ast.literal_eval(call)
    except (ValueError, SyntaxError):
        return None
    return found if isinstance(found, dict) else None


def suggest(trial: BaseTrial, name: str, values: Values) -> Any:
    """Let Optuna choose; it stores lists and null as JSON, a frozen value not at all.

    :return: numbers of a range with three digits: 0.000213 in a yml.
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


def _tried(values: Values) -> tuple[Any, ...]:
    """Return what is checked before a study begins: the choices, or the ends of a range."""
    return values if isinstance(values, tuple) else (values["low"], values["high"])


def _category(value: Any) -> Any:
    """Return what Optuna can store of a value: lists and null as JSON."""
    return json.dumps(value) if value is None or isinstance(value, (list, tuple)) else value


def parse_values(parameter: Parameter, content: Any) -> Values:
    """Understand what a space file or ``--param`` says of one parameter.

    :param content: a list of choices, a mapping with ``low`` and ``high`` (and ``log``), or one
        value; where values are lists themselves, a list of values (or nulls) holds choices.
    :raises ValueError: if it is none of these.
    """
    is_float = parameter.type == "float"
    if isinstance(content, dict):
        ends = {key: _number(value, is_float) for key, value in content.items()}
        return _parse_range(parameter.name, ends)
    if not isinstance(content, list) or _depth(content) <= _DEPTHS.get(parameter.type, 0):
        return (_number(content, is_float),)
    if not content:
        raise ValueError(f"{parameter.name}: an empty list leaves nothing to choose from")
    values = tuple(_number(value, is_float) for value in content)
    if len({_category(value) for value in values}) < len(values):
        raise ValueError(f"{parameter.name}: a choice stands twice in {content!r}")
    return values


def _number(value: Any, is_float: bool) -> Any:
    """Return a value; if it is ``1e-4``, which YAML takes for a string, as a number."""
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        value = float(value)
        return int(value) if value.is_integer() and not is_float else value
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_float and is_whole else value


def _depth(content: Any) -> int:
    """Return how deep lists are nested; null stands for a list."""
    if content is None:
        return 1
    return 1 + max(map(_depth, content), default=0) if isinstance(content, list) else 0


def _parse_range(name: str, content: dict[str, Any]) -> Values:
    if not {"low", "high"} <= set(content) <= {"low", "high", "log"}:
        raise ValueError(f"{name}: a range has the keys low, high and maybe log, got {content!r}")
    ends, log = [content["low"], content["high"]], content.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"{name}: log is true or false, got {log!r}")
    for end in ends:
        if isinstance(end, bool) or not isinstance(end, (int, float)) or not math.isfinite(end):
            raise ValueError(f"{name}: a range lies between two numbers, got {content!r}")
    low, high = ends if {*map(type, ends)} == {int} else map(float, ends)
    if not low < high or (log and low <= 0):
        wanted = "0 < low < high for a logarithmic range" if log else "low < high"
        raise ValueError(f"{name}: {wanted}, got {content!r}")
    return {"low": low, "high": high, "log": log}


class Space:
    """Parameters and the values that they may take.

    :param algo: RL Zoo's name of the algorithm.
    :param content: parameter -> a list of choices, a mapping with ``low``, ``high`` and maybe
        ``log``, or the one value at which it is frozen; or a mapping with these as ``values``, and
        a ``path`` (by default the name itself), a ``meaning``, a ``type``.
    :raises ValueError: for what is none of these.
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
        """Return parameter -> values as plain data, in the order in which they are chosen."""
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
        """Return the parameters that have more than one value."""
        return [one.name for one, values in self._values.items() if len(values) > 1]

    def suggest(self, trial: BaseTrial, hyperparams: Hyperparams) -> Hyperparams:
        """Choose a value for each parameter and write them into a copy of a yml entry.

        :param trial: asks Optuna, or knows the values (:class:`optuna.trial.FixedTrial`).
        """
        result = copy.deepcopy(hyperparams)
        for one, values in self._values.items():
            if not self._is_governed(one) or one.has_place(result):
                one.write(result, suggest(trial, one.name, values))
        _agree_on_gamma(result)
        return result

    def fill(self, params: Mapping[str, Any], hyperparams: Hyperparams) -> Hyperparams:
        """Return the yml entry of a finished trial.

        :param params: its parameters as Optuna stores them.
        """
        return self.suggest(FixedTrial(dict(params)), hyperparams)

    def start(self, hyperparams: Hyperparams) -> dict[str, Any]:
        """Return what the yml itself says, as far as the space holds it, as Optuna stores it."""
        scratch = copy.deepcopy(hyperparams)
        found = {}
        for one, values in self._values.items():
            if self._is_governed(one) and not one.has_place(scratch):
                continue
            if isinstance(values, tuple) and len(values) == 1:
                one.write(scratch, values[0])
            else:
                found[one.name] = stored_value(values, one.read(scratch))
        return {name: value for name, value in found.items() if value is not None}

    def first(self, hyperparams: Hyperparams) -> Hyperparams:
        """Return the yml entry, with a first value where what it says is not tried.

        :raises ValueError: if a parameter has no place in it.
        """
        lowest = {one.name: _category(_tried(values)[0]) for one, values in self._values.items()}
        return self.fill({**lowest, **self.start(hyperparams)}, hyperparams)

    def variants(self, entry: Hyperparams) -> Iterator[tuple[Parameter, Any, Hyperparams]]:
        """Yield parameter, value and entry with each value in turn; of a range, with its ends."""
        for one, values in self._values.items():
            for value in _tried(values) if len(values) > 1 and one.has_place(entry) else ():
                variant = copy.deepcopy(entry)
                one.write(variant, value)
                _agree_on_gamma(variant)
                yield one, value, variant

    def _is_governed(self, parameter: Parameter) -> bool:
        governor = _GOVERNORS.get(parameter.name)
        return any(one.name == governor for one in self._values)


def _split_record(name: str, content: Any) -> tuple[dict[str, Any], Any]:
    """Return path, type and meaning that a space file gives a parameter, and its values."""
    if not isinstance(content, dict) or not {"path", "values"} & set(content):
        return {}, content
    record = dict(content)
    if not {"values"} <= set(content) <= {"path", "values", "meaning", "type", "default"}:
        raise ValueError(f"{name}: path, values, meaning, type and default, got {content!r}")
    values = record.pop("values")
    return record, values


def _agree_on_gamma(hyperparams: Hyperparams) -> None:
    """Let a replay buffer with n-step returns discount as the algorithm does."""
    if hyperparams.get("replay_buffer_kwargs"):
        kwargs = _mapping_at(hyperparams, "replay_buffer_kwargs")
        if "n_steps" in kwargs:
            kwargs["gamma"] = hyperparams.get("gamma", 0.99)  # SB3's default


def load_space(algo: str, env_id: str, path: str | None = None) -> dict[str, Any]:
    """Return the content of a space file for one environment: its id, ``atari``, or ``default``.

    :param path: a yml file; None for ours.
    :raises ValueError: if the file is none, or has nothing for this environment.
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
    """Return a space changed as the command line says.

    :param params: ``NAME=VALUES``, VALUES in the words of a space file.
    :param freeze: parameters to leave as the yml of the hyperparameters has them.
    :param only: the parameters to tune; the others stay frozen where they are, or untouched.
    :raises ValueError: for an unknown parameter, for what is no YAML.
    """
    changed = dict(content)
    for text in params:
        name, equals, values = text.partition("=")
        if not equals:
            raise ValueError(f"--param wants NAME=VALUES, e.g. gamma=[0.99,0.999], got {text!r}")
        try:
            parsed = yaml.safe_load(values)
        except yaml.YAMLError:
            raise ValueError(f"--param {name}: {values!r} is no YAML") from None
        record, _ = _split_record(name, changed.get(name))
        changed[name] = {**record, "values": parsed} if record else parsed
    known = {*parameters_of(algo), *changed}
    for name in (*freeze, *only):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ValueError(f"unknown parameter {name!r} of {algo}: {hint}--list-params shows all")
        if name in only and name not in changed:
            raise ValueError(
                f"--only {name}: the space has no values for it, add --param {name}=VALUES"
            )
    tuned = Space(algo, changed).tuned()
    dropped = {*freeze, *(name for name in tuned if only and name not in set(only))}
    return {name: values for name, values in changed.items() if name not in dropped}


def without_late_starts(
    content: Mapping[str, Any], hyperparams: Hyperparams, n_timesteps: int
) -> dict[str, Any]:
    """Return a space without ``learning_starts`` at which a training would be over.

    :param content: of a :class:`Space`.
    :param hyperparams: the yml entry, which counts if the space says nothing.
    :raises ValueError: if nothing is left.
    """
    given = content.get("learning_starts", hyperparams.get("learning_starts", 0))
    latest = given.get("high") if isinstance(given, dict) else given
    starts = latest if isinstance(latest, list) else [latest]
    left = [one for one in starts if not isinstance(one, (int, float)) or one < n_timesteps]
    if not left:
        raise ValueError(
            f"learning_starts {_in_a_line(given)} is not before the end of a training of"
            f" {n_timesteps} steps, nothing would be learned: add --param"
            f" learning_starts={early_start(n_timesteps)}, or train for longer (-n)"
        )
    is_list = isinstance(content.get("learning_starts"), list)
    return {**content, "learning_starts": left} if is_list else {**content}


def describe_space(algo: str, content: Mapping[str, Any], hyperparams: Hyperparams) -> str:
    """Return a table of what can be tuned: what the yml says, what is tried, what it means.

    :param hyperparams: the yml entry; what has no place in it is left out.
    """
    rows = [("parameter", "in the yml", "tried", "meaning")]
    for name, one in {**parameters_of(algo), **Space(algo, content).parameters()}.items():
        has_place = one.has_place(hyperparams)
        if has_place or name in content:
            value = one.read(copy.deepcopy(hyperparams)) if has_place else None
            shown = "" if value is None else _in_a_line(value)
            tried = _in_a_line(content[name]) if name in content else ""
            rows.append((name, shown, tried, one.meaning))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        "  ".join([*(f"{cell:<{n}}" for cell, n in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )


def _in_a_line(content: Any) -> str:
    text: str = yaml.safe_dump(content, default_flow_style=True, sort_keys=False, width=1000)
    return text.removesuffix("...\n").strip()
