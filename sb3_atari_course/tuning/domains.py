"""What values a parameter may take: one, some of them, or a range."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from optuna.trial import BaseTrial

#: Significant digits of a suggested number: a yml of 0.000213 reads better than its 17 digits.
DIGITS = 3


@dataclass(frozen=True)
class Frozen:
    """One value, the same in all trials.

    :param value: what the yml says.
    """

    value: Any

    def suggest(self, trial: BaseTrial, name: str) -> Any:
        """Return the value; Optuna does not hear of it."""
        return self.value

    def content(self) -> Any:
        """Return what a space file says: the value."""
        return self.value


@dataclass(frozen=True)
class Choices:
    """Some values, in no order.

    :param values: numbers, words, truth values, or lists of them (a shape, widths of layers).
    """

    values: tuple[Any, ...]

    def suggest(self, trial: BaseTrial, name: str) -> Any:
        """Let Optuna choose one; lists and null are known to it by their JSON."""
        known = {_category(value): value for value in self.values}
        return known[trial.suggest_categorical(name, list(known))]

    def stored(self, value: Any) -> Any:
        """Return what Optuna calls ``value``, None if it is no choice."""
        return _category(value) if value in self.values else None

    def content(self) -> Any:
        """Return what a space file says: a list."""
        return list(self.values)


@dataclass(frozen=True)
class Range:
    """All numbers from ``low`` to ``high``, both included.

    :param log: small and large ones are equally likely.
    """

    low: float
    high: float
    log: bool = False

    @property
    def is_int(self) -> bool:
        """Whether both ends are whole numbers, so that only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def suggest(self, trial: BaseTrial, name: str) -> Any:
        """Let Optuna choose a number; return it with few digits, as the yml will have it."""
        if self.is_int:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        value = trial.suggest_float(name, self.low, self.high, log=self.log)
        return min(max(rounded(value), self.low), self.high)

    def stored(self, value: Any) -> Any:
        """Return what Optuna calls ``value``, None if it lies outside."""
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not self.low <= value <= self.high:
            return None
        return None if self.is_int and value != int(value) else value

    def content(self) -> Any:
        """Return what a space file says: a mapping."""
        return {"low": self.low, "high": self.high, "log": self.log}


Domain = Frozen | Choices | Range

#: Kinds of values: a number, a whole one, true or false, a word, a list of numbers (or null), a
#: list of such lists.
KINDS = ("float", "int", "bool", "word", "list", "lists")


def rounded(value: float) -> float:
    """Return a number with :data:`DIGITS` significant digits."""
    return float(f"{value:.{DIGITS}g}")


def parse_domain(name: str, kind: str, content: Any) -> Domain:
    """Understand what a space file or ``--param`` says of one parameter.

    :param kind: one of :data:`KINDS`.
    :param content: a list of choices, a mapping with ``low`` and ``high`` (and ``log``), or one
        value; where values are lists themselves, a list of values (or nulls) holds choices.
    :raises ValueError: if it is none of these, or holds values of another kind.
    """
    if isinstance(content, dict):
        return _parse_range(name, kind, content)
    depth = {"list": 1, "lists": 2}.get(kind, 0)
    if not isinstance(content, list) or _depth(content) <= depth:
        return Frozen(_checked(name, kind, content))
    if not content:
        raise ValueError(f"{name}: an empty list leaves nothing to choose from")
    values = tuple(_checked(name, kind, value) for value in content)
    if len({_category(value) for value in values}) < len(values):
        raise ValueError(f"{name}: a choice stands twice in {content!r}")
    return Choices(values) if len(values) > 1 else Frozen(values[0])


def _depth(content: Any) -> int:
    """Return how deep lists are nested; null stands for a list."""
    if content is None:
        return 1
    return 1 + max(map(_depth, content), default=0) if isinstance(content, list) else 0


def _parse_range(name: str, kind: str, content: dict[str, Any]) -> Range:
    if kind not in ("float", "int"):
        raise ValueError(f"{name} is no number and has no range: list its choices, got {content!r}")
    if not {"low", "high"} <= set(content) <= {"low", "high", "log"}:
        raise ValueError(f"{name}: a range has the keys low, high and maybe log, got {content!r}")
    low, high = (_checked(name, kind, content[key]) for key in ("low", "high"))
    log = content.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"{name}: log is true or false, got {log!r}")
    if not low < high or (log and low <= 0):
        wanted = "0 < low < high for a logarithmic range" if log else "low < high"
        raise ValueError(f"{name}: {wanted}, got {content!r}")
    return Range(low, high, log)


def _checked(name: str, kind: str, value: Any) -> Any:
    """Return one value, numbers as the parameter wants them; YAML takes 1e-4 for a word."""
    if kind in ("float", "int") and not isinstance(value, (bool, list, dict, type(None))):
        try:
            number = float(value)
        except (ValueError, TypeError, OverflowError):
            number = math.nan
        if math.isfinite(number) and (kind == "float" or number == int(number)):
            return number if kind == "float" else int(number)
    a_list = (list, type(None))
    wanted = {"bool": bool, "word": str, "list": a_list, "lists": a_list}.get(kind)
    if wanted is not None and isinstance(value, wanted):  # type: ignore[arg-type]
        return value
    words = {"float": "a number", "int": "a whole number", "bool": "true or false"}
    words |= {"word": "a word", "list": "a list", "lists": "a list of lists"}
    raise ValueError(f"{name} is {words[kind]}, got {value!r}")


def _category(value: Any) -> Any:
    """Return what Optuna can store of a value: lists and null as JSON."""
    return json.dumps(value) if value is None or isinstance(value, (list, tuple)) else value
