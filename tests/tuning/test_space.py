"""Search spaces: parameters and their paths, values, space files, command-line flags."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FixedTrial, Trial

from sb3_atari_course import AtariCnnPolicy, FastDQN, wrap_atari
from sb3_atari_course.hyperparams import ALGORITHMS, load_hyperparams
from sb3_atari_course.policies import AtariCNN
from sb3_atari_course.tuning.space import (
    Parameter,
    Space,
    Values,
    adapt_space,
    describe_space,
    drop_late_learning_starts,
    load_space,
    parameters_of,
    parse_values,
    stored_value,
    suggest,
)

WRAP = "sb3_atari_course.envs.wrap_atari"
OURS = "sb3_atari_course.policies.AtariCnnPolicy"
BUFFER = {"replay_buffer_class": "get_class_by_name('sb3_atari_course.replay.FrameReplayBuffer')"}
TABLE = {"policy": "QTablePolicy", "learning_rate": "lin_0.5", "gamma": 0.9, "exploration": 0.1}
BY_EPISODES = {"initial_eps": 1.0, "final_eps": 0.05, "decay": 0.001}
SLOW = {"initial_eps": 0.5, "decay": 0.1}
VISITS = {**TABLE, "learning_rate": "visits"}
MLP = {"policy_kwargs": {"net_arch": [256, 256]}, "learning_rate": "lin_0.001", "gamma": 0.99}
CNN = {"policy": OURS, "env_wrapper": WRAP}
EPSILON = {
    "exploration_schedule": ["constant", "linear", "episodes"],
    "initial_eps": {"low": 0.5, "high": 1.0},
    "final_eps": {"low": 0.01, "high": 0.3},
    "decay": {"low": 0.002, "high": 0.1, "log": True},
}
RATES = {"learning_rate_schedule": ["constant", "linear", "visits"], "learning_rate": [0.2, 0.5]}


def read(name: str, entry: dict[str, Any], algo: str = "dqn") -> Any:
    return parameters_of(algo)[name].read(copy.deepcopy(entry))


def write(name: str, entry: dict[str, Any], value: Any, algo: str = "dqn") -> dict[str, Any]:
    """Return the entry of a trial with this value."""
    return Space(algo, {name: [value]}).fill({}, entry)


def ask(seed: int = 0) -> Trial:
    sampler = optuna.samplers.RandomSampler(seed=seed)
    return optuna.create_study(sampler=sampler).ask()


def wrap(**kwargs: Any) -> dict[str, Any]:
    return {WRAP: kwargs}


class TestParameters:
    @pytest.mark.parametrize(
        ("name", "entry", "seen", "value", "written"),
        [
            ("gamma", {"gamma": 0.9}, 0.9, 0.99, {"gamma": 0.99}),
            ("net_arch", {}, None, [64], {"policy_kwargs": {"net_arch": [64]}}),
            (
                "net_arch",
                {"policy_kwargs": "dict(net_arch=[256, 256], dueling=True)"},
                [256, 256],
                [64],
                {"policy_kwargs": {"net_arch": [64], "dueling": True}},
            ),
            ("frame_skip", CNN, 4, 3, {**CNN, "env_wrapper": [wrap(frame_skip=3)]}),
            (
                "frame_skip",
                {"env_wrapper": [{"b.Wrapper": {"frame_skip": 9}}, WRAP]},
                4,
                3,
                {"env_wrapper": [{"b.Wrapper": {"frame_skip": 9}}, wrap(frame_skip=3)]},
            ),
            (
                "frame_skip",
                {"env_wrapper": {WRAP: None}},
                4,
                3,
                {"env_wrapper": [wrap(frame_skip=3)]},
            ),
            ("n_stack", CNN, None, 2, {**CNN, "env_wrapper": [wrap(n_stack=2)]}),
            ("n_stack", {**CNN, "frame_stack": 4}, 4, 2, {**CNN, "frame_stack": 2}),
            ("n_steps", {"gamma": 0.9}, 1, 3, {"gamma": 0.9, "n_steps": 3}),
            ("updates_per_step", {}, 0.25, 0.7, {"gradient_steps": 3}),  # SB3: every 4 steps
            (
                "updates_per_step",
                {"train_freq": 2, "gradient_steps": -1, "n_envs": 3},
                1.0,
                0.5,
                {"train_freq": 2, "gradient_steps": 3, "n_envs": 3},
            ),
            (
                "updates_per_step",
                {"train_freq": 4, "gradient_steps": 8},
                2.0,
                0.01,
                {"train_freq": 4, "gradient_steps": 1},
            ),
        ],
    )  # fmt: skip
    def test_reads_and_writes_a_value(
        self, name: str, entry: dict[str, Any], seen: Any, value: Any, written: dict[str, Any]
    ) -> None:
        before = copy.deepcopy(entry)
        assert read(name, entry) == seen
        assert write(name, entry, value) == written
        assert read(name, written) == value or name == "updates_per_step"
        assert entry == before

    @pytest.mark.parametrize(
        ("name", "entry", "lacking"),
        [
            ("dueling", {"policy": "CnnPolicy"}, "CnnPolicy"),
            ("crop", {}, "wrap_atari in env_wrapper"),
            ("n_stack", {"env_wrapper": ["a.Wrapper"]}, "wrap_atari in env_wrapper"),
            ("updates_per_step", {"train_freq": [1, "episode"]}, r"\[1, 'episode'\]"),
            ("n_steps", {**BUFFER, "replay_buffer_kwargs": "n"}, "replay_buffer_kwargs"),
            ("learning_rate", {}, "learning_rate in the yml"),
            *(
                ("net_arch", {"policy_kwargs": text}, "policy_kwargs as a mapping of plain values")
                for text in ("dict(a=nn.ReLU)", "dict([1])", "[64]", "dict(", "open('x')")
            ),
        ],
    )
    def test_inapplicable_parameter_is_reported(
        self, name: str, entry: dict[str, Any], lacking: str
    ) -> None:
        with pytest.raises(ValueError, match=f"{name}.*{lacking}"):
            read(name, entry)
        with pytest.raises(ValueError, match=f"{name}.*{lacking}"):
            write(name, entry, 1)

    def test_n_step_replay_buffer_gets_the_gamma_of_the_algorithm(self) -> None:
        entry = {**BUFFER, "gamma": 0.9, "replay_buffer_kwargs": "dict(compression='lz4')"}
        assert read("n_steps", entry) == 1
        written = write("n_steps", entry, 3)
        kwargs = {"compression": "lz4", "n_steps": 3, "gamma": 0.9}
        assert written == {**entry, "replay_buffer_kwargs": kwargs}
        assert write("gamma", written, 0.8)["replay_buffer_kwargs"] == {**kwargs, "gamma": 0.8}
        assert write("gamma", entry, 0.8) == {
            **entry,
            "gamma": 0.8,
            "replay_buffer_kwargs": {"compression": "lz4"},
        }

    @pytest.mark.parametrize(
        ("given", "schedule", "number", "with_a_half"),
        [
            (0.001, "constant", 0.001, 0.5),
            ("lin_0.123456789", "linear", 0.123456789, "lin_0.5"),
            (1, "constant", 1.0, 0.5),
            ("visits", "visits", 0.1, "visits"),
        ],
    )
    def test_learning_rate_and_its_schedule_are_separate_parameters(
        self, given: Any, schedule: str, number: float, with_a_half: Any
    ) -> None:
        entry = {"learning_rate": given}
        assert read("learning_rate_schedule", entry) == schedule
        if schedule != "visits":
            assert read("learning_rate", entry) == number
        written = [
            write("learning_rate_schedule", entry, one) for one in ("constant", "linear", "visits")
        ]
        assert [one["learning_rate"] for one in written] == [number, f"lin_{number:.10g}", "visits"]
        assert write("learning_rate", entry, 0.5) == {"learning_rate": with_a_half}

    @pytest.mark.parametrize(
        ("given", "schedule", "first", "with_a_fifth", "falling"),
        [
            (0.0, "constant", 0.0, 0.2, {**BY_EPISODES, "initial_eps": 0.0}),
            ("lin_0.3", "linear", 0.3, "lin_0.2", {**BY_EPISODES, "initial_eps": 0.3}),
            ({}, "episodes", 1.0, {"initial_eps": 0.2}, {"initial_eps": 1.0}),
            (SLOW, "episodes", 0.5, {**SLOW, "initial_eps": 0.2}, SLOW),
        ],
    )  # fmt: skip
    def test_exploration_schedule_and_initial_eps_are_separate_parameters(
        self, given: Any, schedule: str, first: float, with_a_fifth: Any, falling: Any
    ) -> None:
        entry = {"exploration": given}
        parts = ("exploration_schedule", "initial_eps")
        assert [read(name, entry, "q_learning") for name in parts] == [schedule, first]
        written = [
            *(
                write(parts[0], entry, one, "q_learning")
                for one in ("constant", "linear", "episodes")
            ),
            write(parts[1], entry, 0.2, "q_learning"),
        ]
        expected = [first, f"lin_{first:g}", falling, with_a_fifth]
        assert [one["exploration"] for one in written] == expected

    def test_rejects_unknown_schedule(self) -> None:
        with pytest.raises(ValueError, match=r"learning_rate_schedule.*cosine"):
            write("learning_rate_schedule", MLP, "cosine")


@pytest.mark.parametrize("algo", ["dqn", "fast_dqn"])
def test_defaults_equal_those_of_the_signatures(algo: str) -> None:
    code: dict[str, Any] = {}
    for what in (wrap_atari, AtariCNN, AtariCnnPolicy, FastDQN):
        code.update(inspect.signature(what).parameters)
    for name, one in parameters_of(algo).items():
        if one.default is not None and name != "n_steps":
            default = code[name].default
            assert one.default == (list(default) if isinstance(default, tuple) else default), name


ENTRIES = [(algo, env_id) for algo in ALGORITHMS for env_id in load_hyperparams(algo)]


@pytest.mark.parametrize(("algo", "env_id"), ENTRIES)
def test_writing_a_parameter_changes_no_other(algo: str, env_id: str) -> None:
    """Every parameter in every entry of ours to which it applies."""
    entry = load_hyperparams(algo)[env_id]
    known = parameters_of(algo)
    before = {name: read(name, entry, algo) for name, one in known.items() if one.applies_to(entry)}
    for name, value in before.items():
        news: Any = "linear" if name.endswith("_schedule") else 3.0
        written = copy.deepcopy(entry)
        known[name].write(written, news)
        moved = {"train_freq": {"updates_per_step"}, "exploration_schedule": {"final_eps", "decay"}}
        for other in before.keys() - moved.get(name, set()):
            expected = news if other == name else before[other]
            assert read(other, written, algo) == expected, (name, other, value)


def parse(content: Any, kind: str = "") -> Values:
    return parse_values(Parameter("x", "x", type=kind), content)


def span(low: float, high: float, log: bool = False) -> dict[str, Any]:
    return {"low": low, "high": high, "log": log}


class TestValues:
    @pytest.mark.parametrize(
        ("kind", "content", "values"),
        [
            ("", 0.5, (0.5,)),
            ("", False, (False,)),
            ("", "he", ("he",)),
            ("", ["relu", "leaky_relu"], ("relu", "leaky_relu")),
            ("", [64], (64,)),
            ("list", [84, 84], ([84, 84],)),
            ("list", None, (None,)),
            ("list", [], ([],)),
            ("list", [[64, 64], [256]], ([64, 64], [256])),
            ("list", [None, [30, 195, 5, 155]], (None, [30, 195, 5, 155])),
            ("lists", [[8, 4, 2]], ([[8, 4, 2]],)),
            ("lists", [[[8, 4, 2]], None], ([[8, 4, 2]], None)),
            ("", {"low": 1, "high": 8}, span(1, 8)),
            ("", {"low": 0, "high": 0.5}, span(0.0, 0.5)),
            ("float", {"high": 1, "low": -1, "log": False}, span(-1.0, 1.0)),
            ("float", "1e-5", (0.00001,)),
            ("float", ["1e-5", True, 2], (0.00001, True, 2.0)),
            ("float", {"low": "1e-5", "high": "1.5e-3", "log": True}, span(0.00001, 0.0015, True)),
            ("", ["1e3", "1e-1"], (1000, 0.1)),
        ],
    )
    def test_parses_values(self, kind: str, content: Any, values: Values) -> None:
        found = parse(content, kind)
        assert found == values
        assert repr(found) == repr(values)  # 1 is not 1.0

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ([], "empty"),
            ([1, 1.0], r"\[1, 1\.0\]"),
            ([[1], None, [1]], r"\[\[1\], None, \[1\]\]"),
            ({"low": 1}, "low and high.*{'low': 1}"),
            ({"low": 1, "high": 2, "step": 1}, "low and high.*'step': 1"),
            ({"low": 1, "high": 2, "log": "no"}, "log .*'no'"),
            ({"low": 2, "high": 2}, "low < high"),
            ({"low": 0.0, "high": 1.0, "log": True}, "0 < low < high"),
            *(({"low": end, "high": 1}, "numbers") for end in ("a", False, float("-inf"))),
        ],
    )
    def test_rejects_invalid_values(self, content: Any, message: str) -> None:
        with pytest.raises(ValueError, match=f"^x: .*{message}"):
            parse(content)

    @pytest.mark.parametrize(
        ("values", "distribution"),
        [
            ((16, 32), CategoricalDistribution((16, 32))),
            ((None, [1, 2]), CategoricalDistribution(("null", "[1, 2]"))),
            (span(1, 8, log=True), IntDistribution(1, 8, log=True)),
            (span(0.1, 1.0, log=True), FloatDistribution(0.1, 1.0, log=True)),
        ],
    )
    def test_values_become_optuna_distributions(
        self, values: Values, distribution: BaseDistribution
    ) -> None:
        trial = ask()
        suggest(trial, "x", values)
        assert trial.distributions == {"x": distribution}
        suggest(trial, "shape", ([84, 84],))
        assert "shape" not in trial.params  # frozen

    @pytest.mark.parametrize(
        ("values", "stored", "value"),
        [
            ((None, [1, 2]), "null", None),
            ((None, [1, 2]), "[1, 2]", [1, 2]),
            ((True, False), False, False),
            (span(1, 8), 5, 5),
            (span(-2000.0, 2000.0), 0.000213499, 0.000213),
            (span(-2000.0, 2000.0), -0.45678, -0.457),
            (span(-2000.0, 2000.0), 1234.5, 1230.0),
            (span(0.12346, 0.12354), 0.12347, 0.12346),  # not 0.123
            (span(0.98760, 0.98765), 0.98761, 0.98765),  # not 0.988
        ],
    )
    def test_values_are_recovered_from_optuna(
        self, values: Values, stored: Any, value: Any
    ) -> None:
        found = suggest(FixedTrial({"x": stored}), "x", values)
        assert (found, type(found)) == (value, type(value))

    @pytest.mark.parametrize(
        ("values", "value", "stored"),
        [
            ((16, 32), 32, 32),
            ((16, 32), 64, None),
            ((False, True), False, False),
            ((None, [1, 2]), None, "null"),
            (([3], [1, 2]), [1, 2], "[1, 2]"),
            (([3], [1, 2]), None, None),
            (span(1, 8), 8, 8),
            (span(1, 8), 9, None),
            (span(1, 8), 2.5, None),
            (span(0.1, 1.0), 0.09, None),
            (span(0.0, 1.0), True, None),
            (span(0.0, 1.0), "lin_0.5", None),
        ],
    )
    def test_stored_value_is_none_outside_the_space(
        self, values: Values, value: Any, stored: Any
    ) -> None:
        assert stored_value(values, value) is stored or stored_value(values, value) == stored


class TestFiles:
    def test_falls_back_from_env_id_to_atari_or_default(self, tmp_path: Path) -> None:
        file = tmp_path / "space.yml"
        file.write_text("{atari: {n_steps: 1}, default: {n_steps: 2}, CartPole-v1: {gamma: 3}}")
        asked = ("CartPole-v1", "MountainCar-v0", "PongNoFrameskip-v4")
        found = [load_space("dqn", env_id, str(file)) for env_id in asked]
        assert found == [{"gamma": 3}, {"n_steps": 2}, {"n_steps": 1}]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("atari: {gamma: 0.9}\n", "CartPole-v1 or default"),
            ("default:\n", "CartPole-v1 or default"),
            ("default: [gamma\n", "cannot read"),
            (None, "cannot read"),
        ],
    )
    def test_rejects_invalid_space_file(
        self, tmp_path: Path, text: str | None, message: str
    ) -> None:
        file = tmp_path / "space.yml"
        if text is not None:
            file.write_text(text)
        with pytest.raises(ValueError, match=f"{message}|{message}.*space.yml"):
            load_space("dqn", "CartPole-v1", str(file))

    def test_user_defined_parameter_is_written_to_its_path(self) -> None:
        content = yaml.safe_load(
            "threshold: {path: env_wrapper.Mine.limit, values: {low: 1, high: 5}, meaning: edge}\n"
            "tau: [0.5, 1.0]\n"
            "gamma: {meaning: mine, values: [0.9, 0.99]}\n"
            "crop: {path: env_wrapper.Mine.crop, type: list, values: [[1, 2], null]}\n"
        )
        space = Space("dqn", content)
        assert list(space.content()) == ["gamma", "crop", "threshold", "tau"]
        assert Space("dqn", space.content()).content() == space.content()
        entry = {"env_wrapper": ["pkg.Mine"]}
        params = {"threshold": 4, "tau": 0.5, "gamma": 0.9, "crop": "[1, 2]"}
        assert space.fill(params, entry) == {
            "env_wrapper": [{"pkg.Mine": {"limit": 4, "crop": [1, 2]}}],
            "tau": 0.5,
            "gamma": 0.9,
        }
        assert "edge" in describe_space("dqn", space.content(), entry)
        changed = adapt_space("dqn", content, params=["threshold=[2, 3]"])
        assert Space("dqn", changed).fill({**params, "threshold": 2}, entry)["env_wrapper"] == [
            {"pkg.Mine": {"limit": 2, "crop": [1, 2]}}
        ]

    @pytest.mark.parametrize("record", [{"path": "a"}, {"values": 1, "paths": "a"}])
    def test_rejects_unknown_keys(self, record: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"x: .*path"):
            Space("dqn", {"x": record})


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
            ({"freeze": ["max_grad_norm", "gamma"]}, {"batch_size": 32}),
            ({"only": ["gamma"], "freeze": ["gamma"]}, {"batch_size": 32}),
        ],
    )
    def test_flags_change_the_space(
        self, options: dict[str, Any], expected: dict[str, Any]
    ) -> None:
        given = {"gamma": [0.9, 1], "batch_size": 32}
        assert adapt_space("dqn", given, **options) == expected
        assert given == {"gamma": [0.9, 1], "batch_size": 32}

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"params": ["gamma"]}, "'gamma'"),
            ({"params": ["gamma=[0.9"]}, r"'\[0.9'"),
            ({"freeze": ["decay"]}, "'decay' of dqn"),
            ({"freeze": ["gama"]}, "did you mean gamma"),
            ({"only": ["dueling"]}, "--only dueling"),
        ],
    )
    def test_rejects_invalid_flags(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            adapt_space("dqn", {"gamma": [0.9, 0.99]}, **options)

    def test_list_params_shows_the_parameters_of_entry_and_space(self) -> None:
        entry = {name: TABLE[name] for name in ("policy", "learning_rate", "exploration")}
        content = {"gamma": [0.9, 1], "n_bins": [[2, 2], [3, 3]]}
        lines = describe_space("q_learning", content, entry).split("\n")
        rows = {line.split()[0]: line for line in lines}
        assert "[0.9, 1]" in rows["gamma"]
        assert "0.5" in rows["learning_rate"]
        assert "[[2, 2], [3, 3]]" in rows["n_bins"]  # although it does not apply to the yml entry
        assert not {"repeat", "decay", "final_eps"} & rows.keys()
        assert len(lines) == 8


class TestApplicability:
    @pytest.mark.parametrize(
        ("algo", "content", "entry", "message"),
        [
            ("dqn", {"gamma": [0.9, 1], "crop": None}, MLP, "crop.*wrap_atari"),
            ("q_learning", {"decay": [0.1, 1]}, TABLE, "decay.*exploration"),
            ("q_learning", {"learning_rate": [0.1, 1]}, VISITS, "learning_rate_schedule"),
        ],
    )
    def test_rejects_inapplicable_parameters(
        self, algo: str, content: dict[str, Any], entry: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ValueError, match=message):
            Space(algo, content).first(entry)

    def test_first_does_not_modify_the_yml_entry(self) -> None:
        entry = dict(CNN)
        Space("dqn", {"crop": [None, [1, 2, 3, 4]], "layers": [[[8, 4, 2]], None]}).first(entry)
        assert entry == CNN
        Space("q_learning", {**EPSILON, **RATES}).first(TABLE)

    def test_content_is_in_sampling_order(self) -> None:
        space = Space("dqn", {"updates_per_step": 1, "train_freq": 4, "gamma": ["1e-1", 0.5]})
        content = [("gamma", [0.1, 0.5]), ("train_freq", 4), ("updates_per_step", 1.0)]
        assert list(space.content().items()) == content
        assert space.tuned() == ["gamma"]


class TestSampling:
    def test_suggest_returns_a_copy(self) -> None:
        given, trial = copy.deepcopy(MLP), FixedTrial({"net_arch": "[64]", "updates_per_step": 0.5})
        content = {"updates_per_step": [0.5, 1.0], "net_arch": [[64], [32, 32]], "train_freq": 8}
        changed = {"policy_kwargs": {"net_arch": [64]}, "train_freq": 8, "gradient_steps": 4}
        assert Space("dqn", content).suggest(trial, given) == {**MLP, **changed}
        assert given == MLP

    def test_fill_reproduces_the_sampled_entry(self) -> None:
        deep = {"gamma": {"low": 0.5, "high": 0.9}, "net_arch": [[64], None]}
        for algo, content, entry in (("q_learning", EPSILON | RATES, TABLE), ("dqn", deep, MLP)):
            space = Space(algo, content)
            for trial in map(ask, range(20)):
                suggested = space.suggest(trial, entry)
                assert space.fill(trial.params, entry) == suggested != entry

    def test_learning_rate_is_not_sampled_with_visits(self) -> None:
        found = {}
        for trial in map(ask, range(30)):
            rate = Space("q_learning", RATES).suggest(trial, TABLE)["learning_rate"]
            found[rate] = list(trial.params)
        assert found.pop("visits") == ["learning_rate_schedule"]
        both = ["learning_rate_schedule", "learning_rate"]
        assert found == dict.fromkeys([0.2, 0.5, "lin_0.2", "lin_0.5"], both)

    def test_decay_is_sampled_only_with_episodes(self) -> None:
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
            ("dqn", {"train_freq": 8, "batch_size": [9], "updates_per_step": [0.125, 1]}, {},
             {"updates_per_step": 0.125}),
            ("dqn", {"crop": [None, [1, 2, 3, 4]], "n_stack": [2, 4]}, CNN, {"crop": "null"}),
            ("q_learning", RATES, TABLE,
             {"learning_rate_schedule": "linear", "learning_rate": 0.5}),
            ("q_learning", RATES, VISITS, {"learning_rate_schedule": "visits"}),
            ("q_learning", EPSILON, TABLE, {"exploration_schedule": "constant"}),  # not 0.1
        ],
    )  # fmt: skip
    def test_start_has_the_values_of_the_yml(
        self, algo: str, content: dict[str, Any], entry: dict[str, Any], start: dict[str, Any]
    ) -> None:
        given = copy.deepcopy(entry)
        assert Space(algo, content).start(given) == start
        assert given == entry

    def test_variants_change_one_value_of_the_first_trial(self) -> None:
        content = {**RATES, "gamma": {"low": 0.5, "high": 0.99}, "initial_value": 1.0}
        space = Space("q_learning", content)
        first = space.first(TABLE)
        assert first == {**TABLE, "policy_kwargs": {"initial_value": 1.0}}
        variants = list(space.variants(first))
        assert [(one.name, value) for one, value, _ in variants] == [
            *(("learning_rate_schedule", one) for one in ("constant", "linear", "visits")),
            *(("learning_rate", one) for one in (0.2, 0.5)),
            *(("gamma", one) for one in (0.5, 0.99)),
        ]
        assert variants[3][2] == {**first, "learning_rate": "lin_0.2"}
        assert (
            space.first({**TABLE, "gamma": 0.1})["gamma"] == 0.5
        )  # the yml's value is not in the space


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ([500, 1000, 5000], [500]),
        ([0, 999], [0, 999]),
        ({"low": 10, "high": 999}, {"low": 10, "high": 999}),
        ("x", "x"),  # rejected later
        (999, 999),
        ([1000, 5000], None),
        (1000, None),
        ({"low": 999, "high": 2000}, None),
    ],
)
def test_drops_learning_starts_after_the_end(given: Any, left: Any) -> None:
    content = {"learning_starts": given, "gamma": [0.9, 0.99]}
    before = copy.deepcopy(content)
    if left is None:
        with pytest.raises(ValueError, match="learning_starts=100"):
            drop_late_learning_starts(content, {}, 1000)
    else:
        expected = {**content, "learning_starts": left}
        assert drop_late_learning_starts(content, {}, 1000) == expected
    assert content == before


def test_checks_learning_starts_of_the_yml() -> None:
    assert drop_late_learning_starts({"gamma": 0.9}, {"learning_starts": 999}, 1000) == {
        "gamma": 0.9
    }
    assert drop_late_learning_starts({"gamma": 0.9}, TABLE, 1000) == {"gamma": 0.9}
    with pytest.raises(ValueError, match="learning_starts=100"):
        drop_late_learning_starts({}, {"learning_starts": 50000}, 1000)
