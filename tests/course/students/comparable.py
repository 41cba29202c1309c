"""Mistakes and other right styles of the exercise of lesson 5, ``comparable``."""

from __future__ import annotations

_NAMES = '"game", "full_games", "clipped", "epsilon", "sticky_actions", "noop_max"'
_ALL = 'all(getattr(first, name) == getattr(second, name) for name in (*protocol, "max_frames"))'
_CHOSEN = "if first.chosen_on_these or second.chosen_on_these:"
_VARIANCE = "first.std**2 / first.n_games + second.std**2 / second.n_games"
_RESULT = "return first.mean - second.mean, math.sqrt(variance)"
_NONE = "    if not comparable(first, second):\n        return None\n"

#: property that must find it -> (right, wrong, part of the message), see Mistake
MISTAKES: dict[str, list[tuple[str, str, str]]] = {
    "equal_protocols_are_comparable": [
        (
            _ALL,
            _ALL.replace("==", "is"),
            "0 and False are values like others",
        ),
        (
            _ALL,
            "all(getattr(first, name) and getattr(second, name) for name in protocol)",
            "0 and False are values like others",
        ),
        (_CHOSEN, "if not (first.chosen_on_these and second.chosen_on_these):", "may be compared"),
        (f"return {_ALL}", f"print({_ALL})", "comparable returns None"),
        (
            f"return {_ALL}",
            "return [n for n in protocol if getattr(first, n) != getattr(second, n)]",
            "returns True or False",
        ),
        (f"return {_ALL}", f"return str({_ALL})", "returns True or False"),
    ],
    "other_fields_do_not_matter": [
        (f"return {_ALL}", "return first == second", "alone ('late' and 'early')"),
        (_ALL, "first[1:] == second[1:]", "make a mean more precise"),
        (f"({_NAMES})\n", f'({_NAMES}, "n_games")\n', "make a mean more precise"),
        (
            _CHOSEN,
            "if first.chosen_on_these or second.chosen_on_these or second.n_games < 30:",
            "make a mean more precise",
        ),
        (
            _CHOSEN,
            "if first.chosen_on_these or second.chosen_on_these or not second.mean:",
            "the scores themselves do not matter",
        ),
        (f"({_NAMES})\n", f'({_NAMES}, "std")\n', "the scatter of the scores"),
        (
            _CHOSEN,
            "if first.chosen_on_these or second.chosen_on_these\\\n"
            "            or abs(first.mean - second.mean) > 100:",
            "the scores themselves do not matter",
        ),
        (_CHOSEN, "if second.chosen_on_these or not first.agent:", "which agent played"),
    ],
    "each_field_counts": [
        *[
            (f"({_NAMES})", f"({_NAMES})".replace(f'"{name}"', '"game"'), f"differ in {name} alone")
            for name in ("full_games", "clipped", "epsilon", "sticky_actions", "noop_max")
        ],
        ('(*protocol, "max_frames")', "protocol", "differ in max_frames alone"),
        (f"({_NAMES})", f"({_NAMES})".replace('"game", ', ""), "differ in game alone"),
        (_ALL, _ALL.replace("all(", "any("), "must all fields be equal?"),
        (
            _ALL,
            f"{_ALL} or abs(first.epsilon - second.epsilon) == 0.05",
            "differ in epsilon alone (0.05 and 0.0)",
        ),
        (
            f"({_NAMES})\n",
            f"({_NAMES})\n    first = first._replace(game=second.game[: len(first.game)])\n",
            "differ in game alone",
        ),
        (
            f"return {_ALL}",
            "second = second._replace(max_frames=min(first.max_frames, second.max_frames))\n"
            f"    return {_ALL}",
            "the other way round they may not",
        ),
        (
            f"return {_ALL}",
            f"second = second._replace(epsilon=second.epsilon or first.epsilon)\n    return {_ALL}",
            "differ in epsilon alone (0.05 and 0.0)",
        ),
        (f"return {_ALL}", "return True", "differ in game alone"),
    ],
    "chosen_scores_are_not_comparable": [
        (_CHOSEN, "if first.chosen_on_these:", "look at both"),
        (_CHOSEN, "if second.chosen_on_these:", "look at both"),
        (_CHOSEN, "if first.chosen_on_these and second.chosen_on_these:", "look at both"),
        (_CHOSEN, "if first.chosen_on_these != second.chosen_on_these:", "equal flags do not"),
        (_CHOSEN, "if False:", "too high by luck"),
    ],
    "differences_are_first_minus_second": [
        (
            _RESULT,
            "return math.sqrt(variance), first.mean - second.mean",
            "the difference comes first",
        ),
        (_RESULT, "return second.mean - first.mean, math.sqrt(variance)", "second minus the first"),
        (_RESULT, "return abs(first.mean - second.mean), math.sqrt(variance)", "its sign is lost"),
        (_RESULT, "return first.mean - second.mean", "returns two numbers"),
        (_RESULT, "return math.sqrt(variance), first.mean - second.mean", "the difference is"),
        (_RESULT, "print(first.mean - second.mean, math.sqrt(variance))", "is its return missing?"),
        (
            "    if not comparable(first, second):",
            "    if comparable(first, second):",
            "is its ret",
        ),
    ],
    "errors_of_means_are_combined": [
        (
            _RESULT,
            "return first.mean - second.mean, first.std / first.n_games**0.5"
            " + second.std / second.n_games**0.5",
            "the standard errors are added",
        ),
        (
            _VARIANCE,
            "(first.std / first.n_games) ** 2 + (second.std / second.n_games) ** 2",
            "std is divided by n_games: the standard error",
        ),
        (_VARIANCE, "first.std**2 + second.std**2", "of single games: divide by sqrt"),
        (
            _VARIANCE,
            "(first.std / first.n_games + second.std / second.n_games) ** 2",
            "not by its root",
        ),
        ("math.sqrt(variance)", "variance", "this is its square"),
        (_VARIANCE, "first.std / first.n_games + second.std / second.n_games", "is not squared"),
        (
            _VARIANCE,
            "first.std**2 / second.n_games + second.std**2 / first.n_games",
            "numbers of games are exchanged",
        ),
        (
            _VARIANCE,
            "first.std**2 / first.n_games + second.std**2 / first.n_games",
            "by the games of the first",
        ),
        (
            _VARIANCE,
            "(first.std**2 + second.std**2) / (first.n_games + second.n_games)",
            "the number of all games",
        ),
        (
            _VARIANCE,
            "abs(first.std**2 / first.n_games - second.std**2 / second.n_games)",
            "the squares are subtracted",
        ),
        (_VARIANCE, "first.std**2 / first.n_games", "of the first score alone"),
        ("math.sqrt(variance)", "2 * math.sqrt(variance)", "twice the standard error"),
        ("math.sqrt(variance)", "1.96 * math.sqrt(variance)", "half of a 95 % interval"),
        (_VARIANCE, f"{_VARIANCE} + 1", "the standard error of the difference is"),
    ],
    "no_difference_without_comparison": [
        (_NONE, "", "so that difference returns None"),
        (_NONE, _NONE.replace("None", "(0.0, 0.0)"), "so that difference returns None"),
        (
            _NONE,
            "    if first.game != second.game:\n        return None\n",
            "{'clipped': True}",
        ),
    ],
}

#: style -> definitions that follow the solution, and replace its own
STYLES: dict[str, str] = {
    "one long condition": """
def comparable(first, second):
    return (
        first.game == second.game
        and first.full_games == second.full_games
        and first.clipped == second.clipped
        and first.epsilon == second.epsilon
        and first.sticky_actions == second.sticky_actions
        and first.noop_max == second.noop_max
        and first.max_frames == second.max_frames
        and not first.chosen_on_these
        and not second.chosen_on_these
    )


def difference(first, second):
    if comparable(first, second):
        se_first = first.std / math.sqrt(first.n_games)
        se_second = second.std / math.sqrt(second.n_games)
        return first.mean - second.mean, (se_first**2 + se_second**2) ** 0.5
""",
    "slices of the tuples, math.hypot": """
def comparable(a, b):
    return a[1:8] == b[1:8] and (a.chosen_on_these, b.chosen_on_these) == (False, False)


def difference(a, b):
    errors = [score.std / score.n_games**0.5 for score in (a, b)]
    return (a.mean - b.mean, math.hypot(*errors)) if comparable(a, b) else None
""",
    "a dict without what does not matter": """
def protocol_of(score):
    fields = score._asdict()
    for name in ("agent", "n_games", "mean", "std"):
        del fields[name]
    return fields


def comparable(first, second):
    one, other = protocol_of(first), protocol_of(second)
    return not one.pop("chosen_on_these") and not other.pop("chosen_on_these") and one == other


def difference(first, second):
    if not comparable(first, second):
        return None
    variances = {score: score.std**2 / score.n_games for score in (first, second)}
    return [first.mean - second.mean, math.sqrt(variances[first] + variances[second])]
""",
    "numpy": """
import numpy as np


def comparable(first, second):
    same = np.array([a == b for a, b in zip(first[1:8], second[1:8])])
    return np.all(same) & ~np.any([first.chosen_on_these, second.chosen_on_these])


def difference(first, second):
    if not comparable(first, second):
        return
    std, n = np.array([first.std, second.std]), np.array([first.n_games, second.n_games])
    return np.array([first.mean - second.mean, np.sqrt(np.sum(std**2 / n))])
""",
    "a loop that leaves early, floats by isclose": """
def comparable(first, second):
    if first.chosen_on_these or second.chosen_on_these:
        return False
    for name in Score._fields:
        if name in ("agent", "n_games", "mean", "std", "chosen_on_these"):
            continue
        one, other = getattr(first, name), getattr(second, name)
        if isinstance(one, float):
            if not math.isclose(one, other, abs_tol=1e-9):
                return False
        elif one != other:
            return False
    return True


def difference(first, second):
    if not comparable(first, second):
        return None
    error = lambda score: score.std / math.sqrt(score.n_games)
    return first.mean - second.mean, math.sqrt(error(first) ** 2 + error(second) ** 2)
""",
    "_replace and equality": """
def comparable(first, second):
    unimportant = dict(agent="", n_games=0, mean=0.0, std=0.0)
    if first._replace(**unimportant) != second._replace(**unimportant):
        return 0
    return 1 - first.chosen_on_these


def difference(first, second):
    result = None
    if comparable(first, second):
        total = 0.0
        for score in (first, second):
            total += score.std * score.std / score.n_games
        result = first.mean - second.mean, total**0.5
    return result
""",
    "Score as a dataclass": """
from dataclasses import dataclass


@dataclass
class Score:
    agent: str
    game: str
    full_games: bool
    clipped: bool
    epsilon: float
    sticky_actions: float
    noop_max: int
    max_frames: int
    n_games: int
    chosen_on_these: bool
    mean: float
    std: float

    def key(self):
        return (self.game, self.full_games, self.clipped, self.epsilon, self.sticky_actions,
                self.noop_max, self.max_frames)


def comparable(first, second):
    return not (first.chosen_on_these or second.chosen_on_these) and first.key() == second.key()


def difference(first, second):
    if not comparable(first, second):
        return None
    return first.mean - second.mean, abs(complex(first.std / first.n_games**0.5,
                                                 second.std / second.n_games**0.5))
""",
    "std with divisor n: the standard error by n - 1": """
def comparable(first, second):
    scores = {first, second}
    if any(score.chosen_on_these for score in scores):
        return False
    return len({(*score[1:8],) for score in scores}) == 1


def difference(first, second):
    if not comparable(first, second):
        return None
    variance = first.std**2 / (first.n_games - 1) + second.std**2 / (second.n_games - 1)
    return first.mean - second.mean, math.sqrt(variance)
""",
}
