"""Search spaces: parameters and the values they may take, from a yml and the command line."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import BaseTrial, FixedTrial

from sb3_atari_course.envs import is_atari
from sb3_atari_course.hyperparams import space_file
from sb3_atari_course.tuning.parameters import (
    Hyperparams,
    Parameter,
    find_parameter,
    parameters_of,
)
from sb3_atari_course.zoo.experiment import early_start

#: Kinds of values, and what an error message calls them; null stands for a list.
KINDS = {
    "float": "a number",
    "int": "a whole number",
    "bool": "true or false",
    "word": "a string",
    "list": "a list",
    "lists": "a list of lists",
}


#: What a parameter may be: some values, in no order (one alone is frozen), or all numbers of a
#: range, as the arguments ``low``, ``high`` and ``log`` of Optuna's ``suggest_...``.
Values = tuple[Any, ...] | dict[str, Any]


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


def content_of(values: Values) -> Any:
    """Return values as in a space file: a mapping, a list, or the frozen value."""
    if isinstance(values, dict):
        return values
    return values[0] if len(values) == 1 else list(values)


def parse_values(parameter: Parameter, content: Any) -> Values:
    """Understand what a space file or ``--param`` says of one parameter.

    :param content: a list of choices, a mapping with ``low`` and ``high`` (and ``log``), or one
        value; where values are lists themselves, a list of values (or nulls) holds choices.
    :raises ValueError: if it is none of these, or holds values of another kind.
    """
    if isinstance(content, dict):
        return _parse_range(parameter, content)
    depth = {"list": 1, "lists": 2}.get(parameter.kind, 0)
    if not isinstance(content, list) or _depth(content) <= depth:
        return (_checked(parameter, content),)
    if not content:
        raise ValueError(f"{parameter.name}: an empty list leaves nothing to choose from")
    values = tuple(_checked(parameter, value) for value in content)
    if len({_category(value) for value in values}) < len(values):
        raise ValueError(f"{parameter.name}: a choice stands twice in {content!r}")
    return values


def _depth(content: Any) -> int:
    """Return how deep lists are nested; null stands for a list."""
    if content is None:
        return 1
    return 1 + max(map(_depth, content), default=0) if isinstance(content, list) else 0


def _parse_range(parameter: Parameter, content: dict[str, Any]) -> Values:
    name = parameter.name
    if parameter.kind not in ("float", "int"):
        raise ValueError(
            f"{name} is not a number and has no range: list its choices, got {content!r}"
        )
    if not {"low", "high"} <= set(content) <= {"low", "high", "log"}:
        raise ValueError(f"{name}: a range has the keys low, high and maybe log, got {content!r}")
    low, high = (_checked(parameter, content[key]) for key in ("low", "high"))
    log = content.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"{name}: log is true or false, got {log!r}")
    if not low < high or (log and low <= 0):
        wanted = "0 < low < high for a logarithmic range" if log else "low < high"
        raise ValueError(f"{name}: {wanted}, got {content!r}")
    return {"low": low, "high": high, "log": log}


def _checked(parameter: Parameter, value: Any) -> Any:
    """Return one value, numbers in the parameter's type; YAML takes 1e-4 for a string."""
    name, kind = parameter.name, parameter.kind
    if kind in ("float", "int"):
        number = _number(value)
        if math.isfinite(number) and (kind == "float" or number == int(number)):
            return number if kind == "float" else int(number)
    elif isinstance(value, {"bool": bool, "word": str}.get(kind, (list, type(None)))):
        if parameter.words and value not in parameter.words:
            raise ValueError(f"{name} is one of {', '.join(parameter.words)}, got {value!r}")
        return value
    raise ValueError(f"{name} is {KINDS[kind]}, got {value!r}")


def _number(value: Any) -> float:
    """Return a number, or one written as a string; nan for anything else."""
    if isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except (ValueError, TypeError, OverflowError):
        return math.nan


def _category(value: Any) -> Any:
    """Return what Optuna can store of a value: lists and null as JSON."""
    return json.dumps(value) if value is None or isinstance(value, (list, tuple)) else value


class Space:
    """Parameters and the values that they may take.

    :param algo: RL Zoo's name of the algorithm.
    :param content: parameter -> a list of choices, a mapping with ``low``, ``high`` and maybe
        ``log``, or the one value at which it is frozen.
    :raises ValueError: for an unknown parameter, for values that it cannot take.
    """

    def __init__(self, algo: str, content: Mapping[str, Any]) -> None:
        for name in content:
            find_parameter(algo, str(name))
        self._domains = {
            one: parse_values(one, content[name])
            for name, one in parameters_of(algo).items()
            if name in content
        }

    def content(self) -> dict[str, Any]:
        """Return parameter -> values as plain data, in the order in which they are chosen."""
        return {one.name: content_of(values) for one, values in self._domains.items()}

    def tuned(self) -> list[str]:
        """Return the parameters that have more than one value."""
        return [one.name for one, values in self._domains.items() if len(values) > 1]

    def check_fits(self, hyperparams: Hyperparams) -> None:
        """Check that each parameter has its place in a yml, and that something is left to tune.

        :raises ValueError: if not.
        """
        if not self.tuned():
            raise ValueError("nothing is left to tune: give a parameter more than one value")
        scratch = copy.deepcopy(hyperparams)
        names = {one.name for one in self._domains}
        for one in self._domains:
            if one.governor not in names:
                one.read(scratch)
                if not one.applies(scratch):
                    raise ValueError(f"parameter {one.name} needs another {one.governor}: add it")

    def suggest(self, trial: BaseTrial, hyperparams: Hyperparams) -> Hyperparams:
        """Choose a value for each parameter and write them into a copy of a yml entry.

        :param trial: asks Optuna, or knows the values (:class:`optuna.trial.FixedTrial`).
        """
        result = copy.deepcopy(hyperparams)
        for one, values in self._domains.items():
            if one.applies(result):
                one.write(result, suggest(trial, one.name, values))
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
        for one, values in self._domains.items():
            if not one.applies(scratch):
                continue
            if len(values) == 1:
                one.write(scratch, content_of(values))
            else:
                found[one.name] = stored_value(values, one.read(scratch))
        return {name: value for name, value in found.items() if value is not None}


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
            return dict(content[key])
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
            changed[find_parameter(algo, name).name] = yaml.safe_load(values)
        except yaml.YAMLError:
            raise ValueError(f"--param {name}: {values!r} is no YAML") from None
    for name in (*freeze, *only):
        find_parameter(algo, name)
    for name in only:
        if name not in changed:
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

    :param hyperparams: the yml entry, which counts if the space says nothing.
    :raises ValueError: if nothing is left.
    """
    given = content.get("learning_starts", hyperparams.get("learning_starts", 0))
    if isinstance(given, dict):
        left: Any = {**given, "high": min(given["high"], n_timesteps - 1)}
        is_fine = left["low"] < left["high"]
    elif isinstance(given, list):
        left = [value for value in given if value < n_timesteps]
        is_fine = bool(left)
    else:
        left, is_fine = given, given < n_timesteps
    if not is_fine:
        raise ValueError(
            f"learning_starts {_in_a_line(given)} is not before the end of a training of"
            f" {n_timesteps} steps, nothing would be learned: add --param"
            f" learning_starts={early_start(n_timesteps)}, or train for longer (-n)"
        )
    return {**content, "learning_starts": left} if "learning_starts" in content else {**content}


def describe_space(algo: str, content: Mapping[str, Any], hyperparams: Hyperparams) -> str:
    """Return a table of what can be tuned: what the yml says, what is tried, what it means.

    :param hyperparams: the yml entry; what has no place in it is left out.
    """
    rows = [("parameter", "in the yml", "tried", "meaning")]
    for name, one in parameters_of(algo).items():
        try:
            value = one.read(copy.deepcopy(hyperparams))
        except ValueError:
            if name not in content:
                continue
            value = None
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
