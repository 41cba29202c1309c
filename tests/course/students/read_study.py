"""Mistakes and other right styles of the exercise of lesson 6, ``read_study``."""

from __future__ import annotations

_WANTED = "(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)"
_COUNTS = "return tuple(states.count(state) for state in wanted)"
_COMPLETE = "if trial.state == TrialState.COMPLETE]"
_BEST = "return max(complete, key=lambda trial: trial.value, default=None)"
_RANGE = "is_edge = min(value - low, high - value) < share * (high - low)"
_LOG = "np.log(ends) if distribution.log else ends"
_CHOICES = "is_edge = is_number and value in (min(distribution.choices), max(distribution.choices))"

#: property that must find it -> (right, wrong, part of the message), see Mistake
MISTAKES: dict[str, list[tuple[str, str, str]]] = {
    "trials_are_counted_by_state": [
        (_WANTED, '("COMPLETE", "PRUNED", "FAIL")', "compare a state with optuna.trial.TrialState"),
        (_WANTED, "(TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED)", "the order is"),
        (_WANTED, "(TrialState.COMPLETE, TrialState.PRUNED)", "returns three numbers"),
        (_COUNTS, "print(*(states.count(state) for state in wanted))", "is its return missing?"),
        (
            _COUNTS,
            "return {state.name: states.count(state) for state in wanted}",
            "returns three numbers",
        ),
        (
            _COUNTS,
            "n = states.count(TrialState.COMPLETE)\n"
            "    pruned = states.count(TrialState.PRUNED)\n"
            "    return n, pruned, len(states) - n - pruned",
            "running and waiting trials are none",
        ),
        (
            _COUNTS,
            "n = sum(trial.value is not None for trial in study.trials)\n"
            "    return n, states.count(TrialState.PRUNED), states.count(TrialState.FAIL)",
            "a pruned trial has a value, too",
        ),
        (
            _COUNTS,
            "return len(states), states.count(TrialState.PRUNED), states.count(TrialState.FAIL)",
            "all trials are counted as complete",
        ),
        (
            _COUNTS,
            "return tuple(sum(state <= one for state in states) for one in wanted)",
            "running and waiting trials are none",
        ),
        (_COUNTS, "return states", "returns three numbers"),
    ],
    "best_trial_is_complete": [
        (_COMPLETE, "if trial.value is not None]", "only COMPLETE trials count"),
        (
            _COMPLETE,
            "if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]",
            "only COMPLETE trials count",
        ),
        (_COMPLETE, "if trial.state == TrialState.PRUNED]", "only COMPLETE trials count"),
        (_BEST, "return min(complete, key=lambda trial: trial.value, default=None)", "maximize"),
        (_BEST, "return complete[0] if complete else None", "the first complete trial"),
        (_BEST, "return complete[-1] if complete else None", "the last complete trial"),
        (
            _BEST,
            "return max(complete, key=lambda t: max(t.intermediate_values.values()), default=None)",
            "the best score on the way",
        ),
        (_BEST, "return max(trial.value for trial in complete)", "the trial itself"),
        (_BEST, f"{_BEST}.number", "the trial itself"),
        (_BEST, f"{_BEST}.params", "the trial itself"),
        (_BEST, _BEST.replace("return", "print(") + ")", "is its return missing"),
        (
            _BEST,
            "best, best_value = None, 0.0\n"
            "    for trial in complete:\n"
            "        if trial.value > best_value:\n"
            "            best, best_value = trial, trial.value\n"
            "    return best",
            "Scores may be negative",
        ),
        (
            _BEST,
            "return max(complete, key=lambda trial: abs(trial.value), default=None)",
            "the smallest value",
        ),
        (
            _BEST,
            "return sorted(complete, key=lambda trial: trial.value)[-2] if complete else None",
            "is the best, got trial",
        ),
    ],
    "no_complete_trial_is_none": [
        (_BEST, "return study.best_trial", "return None, got ValueError"),
        (_BEST, "return max(complete, key=lambda trial: trial.value)", "return None, got Value"),
        (
            _BEST,
            "return max(complete or study.trials, key=lambda t: t.value or -1e9, default=None)",
            "None expected, got trial",
        ),
    ],
    "ranges_have_two_edges": [
        (_LOG, "np.log(np.abs(ends))", "no logarithms (log=False)"),
        (_RANGE, "is_edge = value - low < share * (high - low)", "below high is on the edge"),
        (_RANGE, "is_edge = high - value < share * (high - low)", "above low is on the edge"),
        (_RANGE, "is_edge = value in (low, high)", "not only low itself"),
        (_RANGE, "is_edge = min(value - low, high - value) < share", "0.026 is more than 5 %"),
        (
            _RANGE,
            "is_edge = value < low * (1 + share) or value > high * (1 - share)",
            "not a share of its ends",
        ),
        (_RANGE, _RANGE.replace("<", ">"), "was called one on the edge"),
        (
            _RANGE,
            _RANGE.replace("high - value", "abs(high + value)"),
            "below high is on the edge, too",
        ),
        (
            "if isinstance(distribution, CategoricalDistribution):",
            "if isinstance(distribution, optuna.distributions.IntDistribution):\n"
            "            is_edge = False\n"
            "        elif isinstance(distribution, CategoricalDistribution):",
            "IntDistribution is a range, too",
        ),
        ("    return names", "    return bool(names)", "a list of names of parameters"),
        ("    return names", "    return ', '.join(names)", "a list of names of parameters"),
        ("    return names", "    print(names)", "on_edge returns None"),
        ("names.append(name)", "names.append(value)", "a list of names of parameters"),
        ("names.append(name)", "names.append((name, value))", "a list of names of parameters"),
    ],
    "logarithmic_ranges_are_measured_so": [
        (_LOG, "ends", "take the logarithms"),
        (
            _LOG,
            "(*np.log(ends[:1]), ends[1], *np.log(ends[2:])) if distribution.log else ends",
            "take the logarithms",
        ),
        (
            "low, value, high = np.log(ends) if distribution.log else ends",
            "low, value, high = ends\n"
            "            if isinstance(distribution, optuna.distributions.FloatDistribution):\n"
            "                low, value, high = np.log(ends) if distribution.log else ends",
            "take the logarithms",
        ),
    ],
    "choices_have_edges_if_they_are_numbers": [
        (
            _CHOICES,
            "low, high = min(distribution.choices), max(distribution.choices)\n"
            "            near = share * (high - low) if is_number else 0\n"
            "            is_edge = is_number and (value - low < near or high - value < near)",
            "share is for ranges",
        ),
        (_CHOICES, "is_edge = False", "the smallest of the choices is on the edge"),
        (_CHOICES, "is_edge = is_number and value == max(distribution.choices)", "the smallest of"),
        (_CHOICES, "is_edge = is_number and value == min(distribution.choices)", "the largest of"),
        (
            _CHOICES,
            "is_edge = is_number and value in (distribution.choices[0], distribution.choices[-1])",
            "not the first and the last",
        ),
        (_CHOICES, _CHOICES.replace("is_number and ", ""), "strings have no order"),
        (_CHOICES, "is_edge = True", "neither the smallest nor the largest"),
    ],
    "share_and_all_parameters_count": [
        (_RANGE, _RANGE.replace("share", "0.05"), "share is an argument"),
        (
            "            names.append(name)\n    return",
            "            return [name]\n    return",
            "every",
        ),
        ("    names = []\n", "    names, share = [], 0.05\n", "share is an argument"),
        (
            "",
            """
found = []


def on_edge(trial, share=0.05):
    if len(trial.params) < 5:
        found.clear()
    for name, value in trial.params.items():
        distribution = trial.distributions[name]
        if isinstance(distribution, CategoricalDistribution):
            choices = distribution.choices
            is_edge = not isinstance(value, str) and value in (min(choices), max(choices))
        else:
            ends = np.array([distribution.low, value, distribution.high])
            low, value, high = np.log(ends) if distribution.log else ends
            is_edge = min(value - low, high - value) < share * (high - low)
        if is_edge:
            found.append(name)
    return found
""",
            "a second call gives other names",
        ),
    ],
}

#: style -> definitions that follow the solution, and replace its own
STYLES: dict[str, str] = {
    "Optuna's own functions": """
def count_trials(study):
    return tuple(
        len(study.get_trials(deepcopy=False, states=(TrialState[name],)))
        for name in ("COMPLETE", "PRUNED", "FAIL")
    )


def best_trial(study):
    try:
        return study.best_trial
    except ValueError:
        return None


def on_edge(trial, share=0.05):
    return [name for name in trial.params if is_on_edge(trial, name, share)]


def is_on_edge(trial, name, share):
    kind, value = trial.distributions[name], trial.params[name]
    if isinstance(kind, optuna.distributions.CategoricalDistribution):
        return all(isinstance(c, (int, float)) for c in kind.choices) and value in (
            min(kind.choices),
            max(kind.choices),
        )
    scale = np.log if kind.log else float
    position = (scale(value) - scale(kind.low)) / (scale(kind.high) - scale(kind.low))
    return position < share or position > 1 - share
""",
    "Counter, sorted": """
from collections import Counter


def count_trials(study):
    counts = Counter(trial.state.name for trial in study.trials)
    return [counts["COMPLETE"], counts["PRUNED"], counts["FAIL"]]


def best_trial(study):
    trials = [t for t in study.trials if t.state.name == "COMPLETE"]
    trials.sort(key=lambda t: t.value)
    return trials[-1] if trials else None


def on_edge(trial, share=0.05):
    result = set()
    for name, distribution in trial.distributions.items():
        value = trial.params[name]
        if hasattr(distribution, "choices"):
            if isinstance(value, (int, float)):
                ordered = sorted(distribution.choices)
                if value == ordered[0] or value == ordered[-1]:
                    result.add(name)
        else:
            low, high = distribution.low, distribution.high
            if distribution.log:
                low, high, value = np.log10(low), np.log10(high), np.log10(value)
            margin = share * (high - low)
            if value <= low + margin or value >= high - margin:
                result.add(name)
    return result
""",
    "pandas": """
def count_trials(study):
    if not study.trials:
        return 0, 0, 0
    states = study.trials_dataframe(attrs=("number", "state")).state
    return tuple(int((states == name).sum()) for name in ("COMPLETE", "PRUNED", "FAIL"))


def best_trial(study):
    values = pd.Series(
        {t.number: t.value for t in study.trials if t.state.name == "COMPLETE"}, dtype=float
    )
    return study.trials[values.idxmax()] if len(values) else None
""",
    "loops": """
def count_trials(study):
    n_complete = n_pruned = n_failed = 0
    for trial in study.trials:
        if trial.state == optuna.trial.TrialState.COMPLETE:
            n_complete += 1
        elif trial.state == optuna.trial.TrialState.PRUNED:
            n_pruned += 1
        elif trial.state == optuna.trial.TrialState.FAIL:
            n_failed += 1
    return n_complete, n_pruned, n_failed


def best_trial(study):
    best = None
    for trial in study.trials:
        if trial.state != TrialState.COMPLETE:
            continue
        if best is None or trial.value > best.value:
            best = trial
    return best


def on_edge(trial, share=0.05):
    names = []
    for name in sorted(trial.params):
        d = trial.distributions[name]
        x = trial.params[name]
        if type(d) is CategoricalDistribution:
            if not any(isinstance(choice, str) for choice in d.choices):
                if not any(c < x for c in d.choices) or not any(c > x for c in d.choices):
                    names.append(name)
            continue
        a, b = d.low, d.high
        if d.log:
            import math

            a, b, x = math.log(a), math.log(b), math.log(x)
        if (x - a) / (b - a) < share or (b - x) / (b - a) < share:
            names.append(name)
    return names
""",
    "numpy": """
def count_trials(study):
    states = np.array([int(trial.state) for trial in study.trials])
    return np.array([np.sum(states == int(s)) for s in (TrialState.COMPLETE, TrialState.PRUNED,
                                                        TrialState.FAIL)])


def best_trial(study):
    values = np.array(
        [t.value if t.state == TrialState.COMPLETE else -np.inf for t in study.trials]
    )
    if not np.isfinite(values).any():
        return None
    return study.trials[int(np.argmax(values))]


def on_edge(trial, share=0.05):
    edges = {}
    for name, value in trial.params.items():
        d = trial.distributions[name]
        try:
            low, high = d.low, d.high
        except AttributeError:
            numbers = [c for c in d.choices if np.isreal(c) and not isinstance(c, str)]
            edges[name] = bool(numbers) and value in (np.min(numbers), np.max(numbers))
        else:
            points = np.array([low, value, high], dtype=float)
            points = np.log2(points) if d.log else points
            edges[name] = np.abs(points[[0, 2]] - points[1]).min() < share * np.ptp(points)
    return tuple(name for name in edges if edges[name])
""",
    "heapq, match": """
import heapq


def count_trials(study):
    return map(
        lambda state: sum(1 for trial in study.trials if trial.state is state),
        (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL),
    )


def best_trial(study):
    complete = study.get_trials(states=[TrialState.COMPLETE])
    best = heapq.nlargest(1, complete, key=lambda trial: trial.values[0])
    return best[0] if best else None


def on_edge(trial, share=0.05):
    def near(distribution, value):
        match distribution:
            case CategoricalDistribution(choices=choices):
                return isinstance(value, (int, float)) and value in {min(choices), max(choices)}
            case optuna.distributions.FloatDistribution(low=low, high=high, log=True):
                return not low * (high / low) ** share < value < high / (high / low) ** share
            case optuna.distributions.IntDistribution(low=low, high=high, log=True):
                return not low * (high / low) ** share < value < high / (high / low) ** share
        width = distribution.high - distribution.low
        return abs(value - (distribution.low + distribution.high) / 2) > (0.5 - share) * width

    return {n: v for n, v in trial.params.items() if near(trial.distributions[n], v)}
""",
    "a generator, a class": """
class Reader:
    def __init__(self, study):
        self.trials = study.trials

    def of(self, *states):
        return [trial for trial in self.trials if trial.state in states]


def count_trials(study):
    reader = Reader(study)
    return tuple(
        len(reader.of(s)) for s in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    )


def best_trial(study):
    complete = Reader(study).of(TrialState.COMPLETE)
    if not complete:
        return None
    top = max(trial.value for trial in complete)
    return next(trial for trial in complete if trial.value == top)


def on_edge(trial, share=0.05):
    for name, distribution in trial.distributions.items():
        value = trial.params[name]
        if isinstance(distribution, CategoricalDistribution):
            if isinstance(value, str):
                continue
            if min(distribution.choices) < value < max(distribution.choices):
                continue
            yield name
            continue
        f = np.log if distribution.log else (lambda x: x)
        low, high = f(distribution.low), f(distribution.high)
        if not low + share * (high - low) < f(value) < high - share * (high - low):
            yield name
""",
    "the direction of the study": """
def count_trials(study):
    counts = {state: 0 for state in TrialState}
    for trial in study.get_trials(deepcopy=False):
        counts[trial.state] += 1
    return counts[TrialState.COMPLETE], counts[TrialState.PRUNED], counts[TrialState.FAIL]


def best_trial(study):
    sign = 1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else -1
    complete = [t for t in study.get_trials(deepcopy=False) if t.state == TrialState.COMPLETE]
    complete.sort(key=lambda t: -sign * t.value)
    for trial in complete:
        return trial
""",
}
