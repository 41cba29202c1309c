"""Search spaces: values, files, the command line, what is suggested."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FixedTrial, Trial

from sb3_atari_course.tuning.parameters import Parameter
from sb3_atari_course.tuning.space import (
    Space,
    Values,
    adapt_space,
    content_of,
    describe_space,
    load_space,
    parse_values,
    stored_value,
    suggest,
    without_late_starts,
)


def parse(kind: str, content: Any) -> Values:
    return parse_values(Parameter("x", kind, "a parameter"), content)


def span(low: float, high: float, log: bool = False) -> Values:
    return {"low": low, "high": high, "log": log}


def ask(seed: int = 0) -> Trial:
    sampler = optuna.samplers.RandomSampler(seed=seed)
    return optuna.create_study(sampler=sampler).ask()


class TestParsing:
    @pytest.mark.parametrize(
        ("kind", "content", "domain"),
        [
            ("float", 0.5, (0.5,)),
            ("int", 32, (32,)),
            ("bool", False, (False,)),
            ("word", "he", ("he",)),
            ("list", [84, 84], ([84, 84],)),
            ("list", None, (None,)),
            ("list", [], ([],)),
            ("float", [0.9, 0.99], (0.9, 0.99)),
            ("int", [64], (64,)),
            ("bool", [True, False], (True, False)),
            ("word", ["relu", "leaky_relu"], ("relu", "leaky_relu")),
            ("list", [[64, 64], [256]], ([64, 64], [256])),
            ("list", [None, [30, 195, 5, 155]], (None, [30, 195, 5, 155])),
            ("list", [None], (None,)),
            ("int", {"low": 1, "high": 8}, span(1, 8)),
            ("float", {"low": 0.1, "high": 1.0, "log": True}, span(0.1, 1.0, log=True)),
            ("float", {"high": 1.0, "low": -1.0, "log": False}, span(-1.0, 1.0)),
        ],
    )
    def test_what_a_space_file_says(self, kind: str, content: Any, domain: Values) -> None:
        assert parse(kind, content) == domain
        assert parse(kind, content_of(domain)) == domain

    def test_small_numbers_that_yaml_takes_for_words(self) -> None:
        assert parse("float", "1e-5") == (0.00001,)
        assert parse("float", ["1e-5", 0.1]) == (0.00001, 0.1)
        assert parse("float", {"low": "1e-5", "high": "1e-3"}) == span(0.00001, 0.001)
        assert parse("int", "1e3") == (1000,)

    def test_numbers_get_the_type_of_the_parameter(self) -> None:
        for kind, wanted in (("float", float), ("int", int)):
            frozen = parse(kind, 1)
            choices = parse(kind, [1, 2.0])
            ends = parse(kind, {"low": 1, "high": 2.0})
            assert isinstance(ends, dict)
            numbers = (*frozen, *choices, ends["low"], ends["high"])
            assert [type(number) for number in numbers] == [wanted] * 5

    @pytest.mark.parametrize(
        ("kind", "content", "message"),
        [
            ("float", "much", "^x is a number, got 'much'"),
            ("float", True, "^x is a number, got True"),
            ("float", None, "^x is a number, got None"),
            ("float", float("nan"), "^x is a number, got nan"),
            ("float", [0.1, float("inf")], "^x is a number, got inf"),
            ("float", [[0.1]], r"^x is a number, got \[0.1\]"),
            ("int", 2.5, "^x is a whole number, got 2.5"),
            ("int", [1, False], "^x is a whole number, got False"),
            ("int", {"low": 1, "high": 2.5}, "^x is a whole number, got 2.5"),
            ("bool", 1, "^x is true or false, got 1"),
            ("bool", ["yes"], "^x is true or false, got 'yes'"),
            ("word", 3, "^x is a string, got 3"),
            ("word", [None], "^x is a string, got None"),
            ("list", 84, "^x is a list, got 84"),
            ("list", [[84, 84], 42], "^x is a list, got 42"),
            ("float", [], "^x: an empty list leaves nothing to choose from"),
            ("float", [1, 1.0], r"^x: a choice stands twice in \[1, 1.0\]"),
            ("list", [[1], None, [1]], "^x: a choice stands twice"),
            (
                "bool",
                {"low": 0, "high": 1},
                "^x is not a number and has no range: list its",
            ),
            ("list", {"low": 1, "high": 2}, "^x is not a number and has no range"),
            ("int", {"low": 1}, "^x: a range has the keys low, high and maybe log, got {'low': 1}"),
            ("int", {"low": 1, "high": 2, "step": 1}, "^x: a range has the keys low, high"),
            ("int", {"low": 1, "high": 2, "log": "no"}, "^x: log is true or false, got 'no'"),
            ("int", {"low": 2, "high": 2}, "^x: low < high, got {'low': 2"),
            ("float", {"low": 1.0, "high": 0.1}, "^x: low < high, got"),
            ("float", {"low": 0.0, "high": 1.0, "log": True}, "^x: 0 < low < high for a log"),
        ],
    )
    def test_what_is_no_domain(self, kind: str, content: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            parse(kind, content)


class TestAskingOptuna:
    def test_a_frozen_value_is_not_told_to_optuna(self) -> None:
        trial = ask()
        assert suggest(trial, "shape", ([84, 84],)) == [84, 84]
        assert trial.params == {}
        assert suggest(FixedTrial({}), "x", (3,)) == 3

    @pytest.mark.parametrize(
        ("domain", "distribution"),
        [
            ((16, 32), CategoricalDistribution((16, 32))),
            ((None, [1, 2]), CategoricalDistribution(("null", "[1, 2]"))),
            (span(1, 8, log=True), IntDistribution(1, 8, log=True)),
            (span(-1, 1), IntDistribution(-1, 1)),
            (span(0.1, 1.0, log=True), FloatDistribution(0.1, 1.0, log=True)),
            (span(-1.0, 1.0), FloatDistribution(-1.0, 1.0)),
        ],
    )
    def test_what_optuna_is_asked(self, domain: Values, distribution: BaseDistribution) -> None:
        trial = ask()
        suggest(trial, "x", domain)
        assert trial.distributions == {"x": distribution}

    def test_all_choices_come_up_and_nothing_else(self) -> None:
        domain = (None, [64, 64], [256])
        seen = [suggest(ask(seed), "x", domain) for seed in range(30)]
        assert all(value in (None, [64, 64], [256]) for value in seen)
        assert {str(value) for value in seen} == {"None", "[64, 64]", "[256]"}

    def test_whole_numbers_reach_both_ends(self) -> None:
        seen = {suggest(ask(seed), "x", span(1, 3)) for seed in range(30)}
        assert seen == {1, 2, 3}
        assert {type(value) for value in seen} == {int}

    def test_what_optuna_stores_gives_the_value_back(self) -> None:
        assert suggest(FixedTrial({"x": "null"}), "x", (None, [1, 2])) is None
        assert suggest(FixedTrial({"x": "[1, 2]"}), "x", (None, [1, 2])) == [1, 2]
        assert suggest(FixedTrial({"x": False}), "x", (True, False)) is False
        assert suggest(FixedTrial({"x": 5}), "x", span(1, 8)) == 5
        assert suggest(FixedTrial({"x": 0.123456}), "x", span(0.0, 1.0)) == 0.123

    def test_rounding_stays_inside_the_range(self) -> None:
        domain = span(0.12346, 0.12354)
        assert suggest(FixedTrial({"x": 0.12347}), "x", domain) == 0.12346  # not 0.123
        domain = span(0.98760, 0.98765)
        assert suggest(FixedTrial({"x": 0.98761}), "x", domain) == 0.98765  # not 0.988

    def test_a_suggested_number_has_three_digits(self) -> None:
        for seed in range(20):
            value = suggest(ask(seed), "x", span(0.0001, 0.01, log=True))
            assert 0.0001 <= value <= 0.01
            assert len(f"{value:e}".partition("e")[0].rstrip("0")) <= len("1.23")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.000213499, 0.000213),
        (0.0099951, 0.01),
        (1234.5, 1230.0),
        (-0.45678, -0.457),
        (0.0, 0.0),
        (0.5, 0.5),
    ],
)
def test_three_significant_digits(value: float, expected: float) -> None:
    assert suggest(FixedTrial({"x": value}), "x", span(-2000.0, 2000.0)) == expected


@pytest.mark.parametrize(
    ("domain", "value", "stored"),
    [
        ((16, 32), 32, 32),
        ((16, 32), 64, None),
        ((0.5, 1.0), 1, 1.0),
        ((False, True), False, False),
        ((None, [1, 2]), None, "null"),
        (([3], [1, 2]), [1, 2], "[1, 2]"),
        (([3], [1, 2]), None, None),
        (("constant", "linear"), "visits", None),
        (span(1, 8), 8, 8),
        (span(1, 8), 9, None),
        (span(1, 8), 2.5, None),
        (span(0.1, 1.0), 0.1, 0.1),
        (span(0.1, 1.0), 0.09, None),
        (span(0.0, 1.0), True, None),
        (span(0.0, 1.0), "lin_0.5", None),
        (span(0.0, 1.0), None, None),
    ],
)
def test_what_optuna_calls_a_value(domain: Values, value: Any, stored: Any) -> None:
    assert stored_value(domain, value) == stored
    assert (stored_value(domain, value) is None) == (stored is None)


TABLE = {"policy": "QTablePolicy", "learning_rate": "lin_0.5", "gamma": 0.9, "exploration": 0.1}
MLP = {"policy_kwargs": {"net_arch": [256, 256]}, "learning_rate": "lin_0.001", "gamma": 0.99}
WRAP = "sb3_atari_course.envs.wrap_atari"
CNN = {"policy": "sb3_atari_course.policies.AtariCnnPolicy", "env_wrapper": WRAP}
EPSILON = {
    "exploration_schedule": ["constant", "linear", "episodes"],
    "initial_eps": {"low": 0.5, "high": 1.0},
    "final_eps": {"low": 0.01, "high": 0.3},
    "decay": {"low": 0.002, "high": 0.1, "log": True},
}
RATES = {"learning_rate_schedule": ["constant", "linear", "visits"], "learning_rate": [0.2, 0.5]}
VISITS = {**TABLE, "learning_rate": "visits"}


class TestLoading:
    def test_the_id_then_atari_or_default(self, tmp_path: Path) -> None:
        file = tmp_path / "space.yml"
        file.write_text("{atari: {n_steps: 1}, default: {n_steps: 2}, CartPole-v1: {gamma: 3}}")
        asked = ("CartPole-v1", "MountainCar-v0", "PongNoFrameskip-v4")
        found = [load_space("dqn", env_id, str(file)) for env_id in asked]
        assert found == [{"gamma": 3}, {"n_steps": 2}, {"n_steps": 1}]

    def test_ours_without_a_file(self) -> None:
        taxi, cart_pole = (load_space("q_learning", one) for one in ("Taxi-v4", "CartPole-v1"))
        assert taxi["initial_value"] == {"low": -1.0, "high": 1.0}
        assert cart_pole.pop("n_bins") == [[4, 4, 8, 12], [6, 6, 12, 12], [3, 3, 12, 24]]
        assert cart_pole == taxi

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("atari: {gamma: 0.9}\n", r"space.yml has no parameters for CartPole-v1 or default$"),
            ("default:\n", "has no parameters for"),
            ("default: [gamma\n", r"^cannot read the space file .*space.yml: while parsing"),
            (None, r"^cannot read the space file .*space.yml: .*No such file"),
        ],
    )
    def test_what_is_no_space_file(self, tmp_path: Path, text: str | None, message: str) -> None:
        file = tmp_path / "space.yml"
        if text is not None:
            file.write_text(text)
        with pytest.raises(ValueError, match=message):
            load_space("dqn", "CartPole-v1", str(file))


class TestCommandLine:
    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, {"gamma": [0.9, 1], "batch_size": 32}),
            (
                {"params": ["n_steps=[1, 3]"], "only": ["n_steps"]},
                {"batch_size": 32, "n_steps": [1, 3]},
            ),
            ({"params": ["gamma=.1", "gamma=.2"], "freeze": ["batch_size"]}, {"gamma": 0.2}),
            ({"params": ["dueling=true"], "freeze": ["gamma", "batch_size"]}, {"dueling": True}),
            ({"freeze": ["max_grad_norm", "gamma"]}, {"batch_size": 32}),
            ({"only": ["gamma"], "freeze": ["gamma"]}, {"batch_size": 32}),
        ],
    )
    def test_what_it_changes(self, options: dict[str, Any], expected: dict[str, Any]) -> None:
        given = {"gamma": [0.9, 1], "batch_size": 32}
        assert adapt_space("dqn", given, **options) == expected
        assert given == {"gamma": [0.9, 1], "batch_size": 32}

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"params": ["gamma"]}, r"^--param wants NAME=VALUES, .*, got 'gamma'"),
            ({"params": ["gama=0.9"]}, "^unknown parameter 'gama' of dqn: did you mean gamma"),
            ({"params": ["gamma=[0.9"]}, r"^--param gamma: '\[0.9' is no YAML"),
            ({"params": ["gamma="]}, "^gamma is a number, got None"),
            ({"freeze": ["decay"]}, "^unknown parameter 'decay' of dqn"),
            ({"only": ["dueling"]}, "^--only dueling: the space has no values for it, add --param"),
        ],
    )
    def test_what_it_cannot_ask(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            adapt_space("dqn", {"gamma": [0.9, 0.99]}, **options)


class TestFitting:
    @pytest.mark.parametrize(
        ("algo", "content", "entry", "message"),
        [
            ("dqn", {"batch_size": 32}, MLP, "^nothing is left to tune"),
            ("dqn", {"gamma": [0.9, 1], "crop": None}, MLP, "^parameter crop needs .*wrap_atari"),
            ("q_learning", {"decay": [0.1, 1]}, TABLE, "^parameter decay needs exploration as"),
            (
                "q_learning",
                {"learning_rate": [0.1, 1]},
                VISITS,
                "^parameter learning_rate needs an",
            ),
        ],
    )
    def test_a_space_that_does_not_fit(
        self, algo: str, content: dict[str, Any], entry: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            Space(algo, content).check_fits(entry)

    def test_a_space_that_fits_leaves_the_yml_alone(self) -> None:
        entry = dict(CNN)
        Space("dqn", {"crop": [None, [1, 2, 3, 4]], "layers": [[[8, 4, 2]], None]}).check_fits(
            entry
        )
        assert entry == CNN
        Space("q_learning", {**EPSILON, **RATES}).check_fits(TABLE)

    @pytest.mark.parametrize("values", ["cosine", ["linear", "cosine"]])
    def test_words_are_checked(self, values: Any) -> None:
        with pytest.raises(ValueError, match="is one of constant, linear, got 'cosine'"):
            Space("dqn", {"learning_rate_schedule": values})

    def test_content_comes_in_the_order_of_choice(self) -> None:
        space = Space("dqn", {"gamma": "1e-1", "n_steps": 4, "shape": [[84, 84], [42, 42]]})
        content = [("shape", [[84, 84], [42, 42]]), ("gamma", 0.1), ("n_steps", 4)]
        assert list(space.content().items()) == content
        assert space.tuned() == ["shape"]


class TestSuggesting:
    def test_into_a_copy(self) -> None:
        given, trial = copy.deepcopy(MLP), FixedTrial({"net_arch": "[64]", "updates_per_step": 0.5})
        content = {"updates_per_step": [0.5, 1.0], "net_arch": [[64], [32, 32]], "train_freq": 8}
        changed = {"policy_kwargs": {"net_arch": [64]}, "train_freq": 8, "gradient_steps": 4}
        assert Space("dqn", content).suggest(trial, given) == {**MLP, **changed}
        assert given == MLP

    def test_what_a_trial_stored_gives_the_entry_again(self) -> None:
        deep = {"gamma": {"low": 0.5, "high": 0.9}, "net_arch": [[64], None]}
        for algo, content, entry in (("q_learning", EPSILON | RATES, TABLE), ("dqn", deep, MLP)):
            space = Space(algo, content)
            for trial in map(ask, range(20)):
                suggested = space.suggest(trial, entry)
                assert space.fill(trial.params, entry) == suggested != entry

    def test_a_rate_is_chosen_unless_visits_decide(self) -> None:
        found = {}
        for trial in map(ask, range(30)):
            rate = Space("q_learning", RATES).suggest(trial, TABLE)["learning_rate"]
            found[rate] = list(trial.params)
        assert found.pop("visits") == ["learning_rate_schedule"]
        both = ["learning_rate_schedule", "learning_rate"]
        assert found == dict.fromkeys([0.2, 0.5, "lin_0.2", "lin_0.5"], both)

    def test_a_decay_is_chosen_only_by_episodes(self) -> None:
        asked = {}
        for trial in map(ask, range(20)):
            exploration = Space("q_learning", EPSILON).suggest(trial, TABLE)["exploration"]
            asked[type(exploration)] = list(trial.params)
        names = ["exploration_schedule", "initial_eps", "final_eps", "decay"]
        assert asked == {float: names[:2], str: names[:2], dict: names}


@pytest.mark.parametrize(
    ("algo", "content", "entry", "start"),
    [
        ("dqn", {"gamma": [0.9, 0.99], "n_steps": 3}, MLP, {"gamma": 0.99}),
        ("dqn", {"gamma": [0.9, 0.95], "n_steps": [1, 3]}, MLP, {"n_steps": 1}),
        ("dqn", {"net_arch": [[256, 256], [64]]}, MLP, {"net_arch": "[256, 256]"}),
        ("dqn", {"crop": [None, [1, 2, 3, 4]], "n_stack": [2, 4]}, CNN, {"crop": "null"}),
        ("q_learning", RATES, TABLE, {"learning_rate_schedule": "linear", "learning_rate": 0.5}),
        ("q_learning", RATES, VISITS, {"learning_rate_schedule": "visits"}),
        ("q_learning", EPSILON, TABLE, {"exploration_schedule": "constant"}),  # 0.1 is too little
    ],
)
def test_a_start_is_what_the_yml_says(
    algo: str, content: dict[str, Any], entry: dict[str, Any], start: dict[str, Any]
) -> None:
    given = copy.deepcopy(entry)
    assert Space(algo, content).start(given) == start
    assert given == entry


WITHOUT_GAMMA = {name: TABLE[name] for name in ("policy", "learning_rate", "exploration")}


def test_the_table_of_what_can_be_tuned() -> None:
    lines = describe_space("q_learning", {"gamma": [0.9, 1]}, WITHOUT_GAMMA).split("\n")
    assert lines[0] == "parameter               in the yml  tried     meaning"
    assert "gamma                               [0.9, 1]  discount per agent step" in lines
    assert "learning_rate           0.5                   where it begins" in lines
    assert "initial_value           0.0                   of the Q-table's cells" in lines
    assert not any(line.startswith(("n_bins", "repeat", "decay")) for line in lines)
    assert len(lines) == 7


def test_what_is_tried_is_listed_even_if_the_yml_has_no_place_for_it() -> None:
    table = describe_space("q_learning", {"n_bins": [[2, 2], [3, 3]]}, WITHOUT_GAMMA)
    assert "n_bins                              [[2, 2], [3, 3]]  bins of each dimension" in table


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ([500, 1000, 5000], [500]),
        ([0, 999], [0, 999]),
        ({"low": 10, "high": 5000, "log": True}, {"low": 10, "high": 999, "log": True}),
        ({"low": 10, "high": 50}, {"low": 10, "high": 50}),
        (999, 999),
    ],
)
def test_learning_starts_before_the_end(given: Any, left: Any) -> None:
    content = {"learning_starts": given, "gamma": [0.9, 0.99]}
    assert without_late_starts(content, {}, 1000) == {**content, "learning_starts": left}
    assert content["learning_starts"] == given


def test_a_space_without_it_stays_without_it() -> None:
    assert without_late_starts({"gamma": 0.9}, {"learning_starts": 999}, 1000) == {"gamma": 0.9}
    assert without_late_starts({"gamma": 0.9}, WITHOUT_GAMMA, 1000) == {"gamma": 0.9}


@pytest.mark.parametrize("given", [[1000, 5000], 1000, {"low": 1000, "high": 2000}])
def test_nothing_to_learn_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"of 1000 steps, nothing would be learned: add --param l"):
        without_late_starts({"learning_starts": given}, {}, 1000)
    with pytest.raises(ValueError, match="learning_starts=100, or train for longer"):
        without_late_starts({}, {"learning_starts": 50000}, 1000)
