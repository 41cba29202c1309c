"""Parameters: their names, their yml paths, what is written and read back."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import pytest
from sb3_contrib import QRDQN
from stable_baselines3 import DQN

from sb3_atari_course import AtariCnnPolicy, FastDQN, wrap_atari
from sb3_atari_course.hyperparams import load_hyperparams
from sb3_atari_course.policies import AtariCNN
from sb3_atari_course.q_learning import QLearning, QTablePolicy
from sb3_atari_course.tuning import parameters
from sb3_atari_course.tuning.parameters import ALGORITHMS, Parameter, find_parameter, parameters_of
from tests.tuning.studies import write

SCREEN = [
    *("crop", "shape", "n_stack", "frame_skip", "noop_max", "terminal_on_life_loss"),
    *("fire_on_reset", "clip_reward"),
]
CONVOLUTIONS = ["layers", "features_dim", "activation_fn", "weight_init"]
RATE = ["learning_rate_schedule", "learning_rate", "gamma"]
UPDATES = ["batch_size", "train_freq", "updates_per_step", "target_update_interval"]
MEMORY = ["buffer_size", "learning_starts"]
EPSILON = ["exploration_fraction", "exploration_initial_eps", "exploration_final_eps"]
NAMES = {
    "dqn": [
        *(*SCREEN, "dueling", *CONVOLUTIONS, "net_arch", *RATE, "n_steps", *UPDATES),
        *("max_grad_norm", *MEMORY, *EPSILON),
    ],
    "qrdqn": [
        *(*SCREEN, *CONVOLUTIONS, "net_arch", "n_quantiles", *RATE, "n_steps", *UPDATES),
        *("max_grad_norm", *MEMORY, *EPSILON),
    ],
    "fast_dqn": [
        *(*SCREEN, "dueling", *CONVOLUTIONS, "net_arch", *RATE, "n_steps", "double_q", *UPDATES),
        *("max_grad_norm", "compile", *MEMORY, *EPSILON),
    ],
    "q_learning": [
        *("n_bins", "repeat", "initial_value", *RATE),
        *("exploration_schedule", "initial_eps", "final_eps", "decay"),
    ],
}

#: Two values of each, so that one at least is news to any yml.
VALUES: dict[str, Sequence[Any]] = {
    "crop": [None, [30, 195, 5, 155]],
    "shape": [[42, 42], [84, 84]],
    "n_stack": [2, 4],
    "frame_skip": [1, 4],
    "noop_max": [0, 30],
    **dict.fromkeys(["terminal_on_life_loss", "fire_on_reset", "clip_reward"], (True, False)),
    **dict.fromkeys(["dueling", "double_q", "compile"], (True, False)),
    "layers": [[[32, 8, 4]], [[16, 4, 2], [32, 3, 1]]],
    "features_dim": [256, 512],
    "activation_fn": ["relu", "leaky_relu"],
    "weight_init": ["default", "he"],
    "net_arch": [[64], [256, 256]],
    "n_quantiles": [10, 50],
    "initial_value": [0.0, -1.5],
    "n_bins": [[3, 3], [4, 4, 8, 12]],
    "repeat": [2, 6],
    "learning_rate_schedule": ["constant", "linear"],
    "learning_rate": [0.0000625, 0.5],
    "gamma": [0.9, 0.99],
    "n_steps": [1, 3],
    "batch_size": [32, 64],
    "train_freq": [4, 8],
    "updates_per_step": [1.0, 2.0],
    "target_update_interval": [10, 1000],
    "max_grad_norm": [1.0, 10.0],
    "buffer_size": [1000, 5000],
    "learning_starts": [0, 100],
    **dict.fromkeys(EPSILON, (0.25, 0.75)),
    "exploration_schedule": ["constant", "linear", "episodes"],
    "initial_eps": [0.1, 0.9],
    "final_eps": [0.0, 0.1],
    "decay": [0.0001, 0.1],
}

#: What reads otherwise because another parameter was written.
MOVED_BY = {
    "train_freq": {"updates_per_step"},
    "exploration_schedule": {"final_eps", "decay"},
}

ENTRIES = [
    *((algo, algo, env_id) for algo in ALGORITHMS for env_id in load_hyperparams(algo)),
    ("dqn", "dqn_laptop", "BreakoutNoFrameskip-v4"),
]


def misfits(algo: str, env_id: str) -> set[str]:
    """Return the parameters that have no place in our entry of an environment."""
    if algo == "q_learning":
        found = {
            "CartPole-v1": {"repeat", "final_eps", "decay"},
            "MountainCar-v0": {"final_eps", "decay"},
            "Taxi-v4": {"n_bins", "repeat"},
        }
        return found.get(env_id, {"n_bins", "repeat", "final_eps", "decay"})
    is_game = env_id == "atari" or env_id.startswith("Breakout")
    return set() if is_game else {*SCREEN, *CONVOLUTIONS, "dueling"} & set(NAMES[algo])


def readings(algo: str, entry: dict[str, Any], *, without: set[str]) -> dict[str, Any]:
    known = parameters_of(algo)
    return {n: known[n].read(copy.deepcopy(entry)) for n in NAMES[algo] if n not in without}


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_what_can_be_tuned_in_the_order_of_choice(algo: str) -> None:
    assert list(parameters_of(algo)) == NAMES[algo]
    assert [one.name for one in parameters._PARAMETERS if algo in one.algos] == NAMES[algo]
    for name, one in parameters_of(algo).items():
        assert one.name == name
        assert find_parameter(algo, name) is one
        assert one.kind in ("float", "int", "bool", "word", "list", "lists")
        assert bool(one.words) == (one.kind == "word")
        if one.governor is not None:
            assert NAMES[algo].index(one.governor) < NAMES[algo].index(name)


@pytest.mark.parametrize(
    ("algo", "name", "hint"),
    [
        ("dqn", "lerning_rate", "did you mean learning_rate"),
        ("dqn", "n_quantiles", "--list-params"),  # of qrdqn only
        ("q_learning", "batch_size", "--list-params"),
        ("fast_dqn", "double", "did you mean double_q"),
        ("dqn", "zzz", "--list-params shows all"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(algo: str, name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f"^unknown parameter '{name}' of {algo}: .*{hint}"):
        find_parameter(algo, name)


def test_the_words_that_a_schedule_may_have() -> None:
    assert find_parameter("dqn", "learning_rate_schedule").words == ("constant", "linear")
    table = find_parameter("q_learning", "learning_rate_schedule")
    assert table.words == ("constant", "linear", "visits")


@pytest.mark.parametrize("algo", ["dqn", "fast_dqn"])
def test_defaults_are_those_of_the_code(algo: str) -> None:
    policy = "sb3_atari_course.policies.AtariCnnPolicy"
    entry = {"policy": policy, "env_wrapper": "sb3_atari_course.envs.wrap_atari"}
    code = {}
    for what in (wrap_atari, AtariCNN, AtariCnnPolicy, FastDQN):
        code.update(inspect.signature(what).parameters)
    for name in (*SCREEN, *CONVOLUTIONS[1:], "dueling", *(["double_q"] * (algo == "fast_dqn"))):
        default = code[name].default
        expected = list(default) if isinstance(default, tuple) else default
        assert find_parameter(algo, name).read(dict(entry)) == expected, name
    assert find_parameter(algo, "n_steps").read({}) == 1
    assert find_parameter(algo, "gamma").read({}) is None
    assert find_parameter("q_learning", "initial_value").read({}) == 0.0


def test_keys_at_the_top_are_keywords_of_the_algorithm() -> None:
    known = {
        "dqn": {*inspect.signature(DQN).parameters},
        "qrdqn": {*inspect.signature(QRDQN).parameters},
        "fast_dqn": {*inspect.signature(DQN).parameters, *inspect.signature(FastDQN).parameters},
        "q_learning": {*inspect.signature(QLearning).parameters},
    }
    for algo in ALGORITHMS:
        for name, one in parameters_of(algo).items():
            entry: dict[str, Any] = {"exploration": {}, "learning_rate": 0.1}
            if name not in misfits(algo, "") - {"final_eps", "decay"}:
                one.write(entry, VALUES[name][0])
                known_here = {*known[algo], "policy_kwargs"}
                assert set(entry) - {"exploration"} <= known_here, name
    assert "initial_value" in inspect.signature(QTablePolicy).parameters


@pytest.mark.parametrize(("algo", "file", "env_id"), ENTRIES)
def test_what_is_written_is_read_back(algo: str, file: str, env_id: str) -> None:
    entry = load_hyperparams(file)[env_id]
    lacking = misfits(algo, env_id)
    for name in lacking:
        with pytest.raises(ValueError, match=f"^parameter {name} needs "):
            find_parameter(algo, name).read(copy.deepcopy(entry))
    before = readings(algo, entry, without=lacking)
    for name in before:
        for value in VALUES[name]:
            written = copy.deepcopy(entry)
            find_parameter(algo, name).write(written, value)
            moved = MOVED_BY.get(name, set())
            after = readings(algo, written, without=lacking | moved)
            expected = {key: before[key] for key in after} | {name: value}
            assert after == expected, name


WRAP_ATARI = "sb3_atari_course.envs.wrap_atari"
OTHER = {"b.Wrapper": {"frame_skip": 9}}
CROP, FRAME_SKIP, N_STACK, GAMMA, NET_ARCH, FEATURES, DUELING, N_STEPS, UPDATES = (
    find_parameter("dqn", name)
    for name in (
        *("crop", "frame_skip", "n_stack", "gamma", "net_arch", "features_dim", "dueling"),
        *("n_steps", "updates_per_step"),
    )
)
RATE_NUMBER, RATE_SCHEDULE, EPSILON_SCHEDULE, FIRST, DECAY, INITIAL_VALUE = (
    find_parameter("q_learning", name)
    for name in (
        *("learning_rate", "learning_rate_schedule", "exploration_schedule", "initial_eps"),
        *("decay", "initial_value"),
    )
)
EXTRACTOR = "features_extractor_kwargs"
OURS = {"policy": "sb3_atari_course.policies.AtariCnnPolicy"}
QUANTILES = {"policy": "sb3_atari_course.policies.AtariQuantileCnnPolicy"}
BUFFER = {"replay_buffer_class": "get_class_by_name('sb3_atari_course.replay.FrameReplayBuffer')"}
NUMBERS = {"initial_eps": 0.5, "final_eps": 0.1, "decay": 0.0005}
BY_EPISODES = {"initial_eps": 1.0, "final_eps": 0.05, "decay": 0.001}


def wrap(**kwargs: Any) -> dict[str, Any]:
    return {WRAP_ATARI: kwargs}


class TestKeys:
    def test_at_the_top(self) -> None:
        entry = {"policy": "MlpPolicy", "gamma": 0.9}
        assert (GAMMA.read(entry), GAMMA.read({})) == (0.9, None)
        assert write(GAMMA, entry, 0.99) == {"policy": "MlpPolicy", "gamma": 0.99}

    @pytest.mark.parametrize(
        ("given", "seen", "written"),
        [
            (None, None, {"net_arch": [64]}),
            ({"net_arch": [32], "dueling": True}, [32], {"net_arch": [64], "dueling": True}),
            ("dict(net_arch=[256, 256])", [256, 256], {"net_arch": [64]}),
            (" dict(net_arch=[3], n_quantiles=9)", [3], {"net_arch": [64], "n_quantiles": 9}),
            ("{'net_arch': [32]}", [32], {"net_arch": [64]}),
        ],
    )
    def test_in_policy_kwargs(self, given: Any, seen: Any, written: Any) -> None:
        entry = {"policy_kwargs": given}
        assert write(NET_ARCH, entry, [64]) == {"policy_kwargs": written}
        assert NET_ARCH.read(copy.deepcopy(entry)) == seen
        assert write(NET_ARCH, {}, [64]) == {"policy_kwargs": {"net_arch": [64]}}

    @pytest.mark.parametrize(
        "text", ["dict(a=nn.ReLU)", "dict([1])", "list(a=1)", "[64]", "dict(", "open('x')"]
    )
    def test_no_text_is_run(self, text: str) -> None:
        with pytest.raises(ValueError, match="needs policy_kwargs as a mapping of plain values"):
            NET_ARCH.read({"policy_kwargs": text})

    @pytest.mark.parametrize("policy", [OURS, QUANTILES])
    def test_of_our_convolutions(self, policy: dict[str, Any]) -> None:
        assert FEATURES.read(dict(policy)) == 512
        assert FEATURES.read({**policy, "policy_kwargs": {EXTRACTOR: {"features_dim": 256}}}) == 256
        entry = {**policy, "policy_kwargs": {"a": 1, EXTRACTOR: {"features_dim": 9, "b": 2}}}
        written = write(FEATURES, entry, 64)
        assert written["policy_kwargs"] == {"a": 1, EXTRACTOR: {"features_dim": 64, "b": 2}}

    def test_of_the_policy_that_can_duel(self) -> None:
        assert write(DUELING, OURS, True) == {**OURS, "policy_kwargs": {"dueling": True}}
        assert DUELING.read({**OURS, "policy_kwargs": "dict(dueling=False)"}) is False


class TestWrappers:
    @pytest.mark.parametrize(
        ("given", "seen", "written"),
        [
            (WRAP_ATARI, None, [wrap(frame_skip=3)]),
            ([WRAP_ATARI], None, [wrap(frame_skip=3)]),
            ([{WRAP_ATARI: None}], None, [wrap(frame_skip=3)]),
            (wrap(frame_skip=4), 4, wrap(frame_skip=3)),
            (["a.W", wrap(noop_max=0)], None, ["a.W", wrap(noop_max=0, frame_skip=3)]),
            ([OTHER, WRAP_ATARI], None, [OTHER, wrap(frame_skip=3)]),
        ],
    )
    def test_a_keyword_of_one(self, given: Any, seen: Any, written: Any) -> None:
        assert write(FRAME_SKIP, {"env_wrapper": given}, 3) == {"env_wrapper": written}
        assert FRAME_SKIP.read({"env_wrapper": copy.deepcopy(given)}) == (seen or 4)

    def test_frames_stand_where_the_yml_has_them(self) -> None:
        entry: dict[str, Any] = {"env_wrapper": [wrap()]}
        assert N_STACK.read(entry) is None
        assert write(N_STACK, entry, 2) == {"env_wrapper": [wrap(n_stack=2)]}
        assert N_STACK.read({"env_wrapper": [wrap(n_stack=2)]}) == 2
        assert N_STACK.read({**entry, "frame_stack": 4}) == 4
        assert write(N_STACK, {**entry, "frame_stack": 4}, 2) == {**entry, "frame_stack": 2}
        assert write(N_STACK, {"frame_stack": 4}, 3) == {"frame_stack": 3}  # other wrappers too
        none = {**entry, "frame_stack": None}
        assert write(N_STACK, none, 2) == {**none, "env_wrapper": [wrap(n_stack=2)]}


@pytest.mark.parametrize(
    ("entry", "ratio", "wanted", "n_updates"),
    [
        ({"train_freq": 4, "gradient_steps": 1}, 0.25, 0.5, 2),
        ({"train_freq": 1, "gradient_steps": 2, "n_envs": 8}, 0.25, 0.3, 2),
        ({"train_freq": 2, "gradient_steps": -1, "n_envs": 3}, 1.0, 0.5, 3),
        ({"train_freq": 4, "gradient_steps": 8}, 2.0, 0.01, 1),
        ({}, 0.25, 0.7, 3),  # SB3's defaults: an update every 4 steps
    ],
)
def test_updates_for_each_transition(
    entry: dict[str, int], ratio: float, wanted: float, n_updates: int
) -> None:
    assert UPDATES.read(entry) == ratio
    assert write(UPDATES, entry, wanted) == {**entry, "gradient_steps": n_updates}


class TestNSteps:
    def test_of_the_algorithm(self) -> None:
        assert [N_STEPS.read(entry) for entry in ({}, {"n_steps": 5})] == [1, 5]
        assert write(N_STEPS, {"gamma": 0.9}, 3) == {"gamma": 0.9, "n_steps": 3}

    def test_of_our_replay_buffer_with_the_discount_of_the_algorithm(self) -> None:
        assert N_STEPS.read(dict(BUFFER)) == 1
        entry = {**BUFFER, "gamma": 0.9, "replay_buffer_kwargs": {"compression": "lz4"}}
        kwargs = {"compression": "lz4", "n_steps": 3, "gamma": 0.9}
        assert write(N_STEPS, entry, 3) == {**entry, "replay_buffer_kwargs": kwargs}
        assert N_STEPS.read({**BUFFER, "replay_buffer_kwargs": "dict(n_steps=2)"}) == 2

    def test_a_discount_goes_to_a_replay_buffer_with_n_step_returns_too(self) -> None:
        entry = {**BUFFER, "gamma": 0.9, "replay_buffer_kwargs": {"n_steps": 3, "gamma": None}}
        written = write(GAMMA, entry, 0.8)
        assert written["gamma"] == written["replay_buffer_kwargs"]["gamma"] == 0.8
        for kwargs in (None, {"compression": "lz4"}):
            entry = {**BUFFER, "replay_buffer_kwargs": kwargs}
            assert write(GAMMA, entry, 0.8) == {**entry, "gamma": 0.8}


@pytest.mark.parametrize(
    ("parameter", "entry", "message"),
    [
        (
            FEATURES,
            {"policy": "CnnPolicy"},
            "needs the policy AtariCnnPolicy or .*, not CnnPolicy",
        ),
        (DUELING, QUANTILES, "needs the policy AtariCnnPolicy, not "),
        (CROP, {}, "needs sb3_atari_course.envs.wrap_atari in env_wrapper"),
        (CROP, {"env_wrapper": None}, "needs sb3_atari_course.envs.wrap_atari"),
        (N_STACK, {"env_wrapper": ["a.Wrapper", OTHER]}, "needs sb3_atari_course.envs"),
        (DECAY, {}, "needs exploration as a mapping"),
        (DECAY, {"exploration": "lin_1.0"}, "needs exploration as a mapping"),
        (UPDATES, {"train_freq": [1, "episode"]}, "needs a train_freq in steps, not"),
        (N_STEPS, {"replay_buffer_class": "Her"}, "needs our FrameReplayBuffer or .*, not Her$"),
        (N_STEPS, {**BUFFER, "replay_buffer_kwargs": "n"}, "needs replay_buffer_kwargs as a map"),
    ],
)
def test_what_a_yml_lacks_is_said(
    parameter: Parameter, entry: dict[str, Any], message: str
) -> None:
    for use in (lambda: parameter.read(copy.deepcopy(entry)), lambda: write(parameter, entry, 1)):
        with pytest.raises(ValueError, match=message):
            use()


@pytest.mark.parametrize(
    ("given", "word", "number", "with_a_half"),
    [
        (0.001, "constant", 0.001, 0.5),
        ("lin_0.001", "linear", 0.001, "lin_0.5"),
        ("lin_1e-05", "linear", 0.00001, "lin_0.5"),
        (1, "constant", 1.0, 0.5),
        ("visits", "visits", 0.1, "visits"),
    ],
)
def test_learning_rates(given: Any, word: str, number: float, with_a_half: Any) -> None:
    entry = {"learning_rate": given}
    assert (RATE_SCHEDULE.read(entry), RATE_NUMBER.read(entry)) == (word, number)
    assert write(RATE_NUMBER, entry, 0.5) == {"learning_rate": with_a_half}
    assert write(RATE_SCHEDULE, entry, "constant") == {"learning_rate": number}
    assert write(RATE_SCHEDULE, entry, "linear") == {"learning_rate": f"lin_{number:g}"}
    assert write(RATE_SCHEDULE, entry, "visits") == {"learning_rate": "visits"}


@pytest.mark.parametrize(
    ("given", "word", "first", "with_a_fifth", "falling"),
    [
        (0.0, "constant", 0.0, 0.2, {**BY_EPISODES, "initial_eps": 0.0}),
        ("lin_0.3", "linear", 0.3, "lin_0.2", {**BY_EPISODES, "initial_eps": 0.3}),
        (NUMBERS, "episodes", 0.5, {**NUMBERS, "initial_eps": 0.2}, NUMBERS),
        ({}, "episodes", 1.0, {"initial_eps": 0.2}, {"initial_eps": 1.0}),
    ],
)
def test_exploration_of_a_table(
    given: Any, word: str, first: float, with_a_fifth: Any, falling: Any
) -> None:
    entry = {"exploration": given}
    assert (EPSILON_SCHEDULE.read(entry), FIRST.read(entry)) == (word, first)
    assert write(FIRST, entry, 0.2) == {"exploration": with_a_fifth}
    assert write(EPSILON_SCHEDULE, entry, "constant") == {"exploration": first}
    assert write(EPSILON_SCHEDULE, entry, "linear") == {"exploration": f"lin_{first:g}"}
    assert write(EPSILON_SCHEDULE, entry, "episodes") == {"exploration": falling}


def test_numbers_of_an_exploration_by_episodes() -> None:
    assert (DECAY.read({"exploration": NUMBERS}), DECAY.read({"exploration": {}})) == (0.0005, None)
    assert write(DECAY, {"exploration": {}}, 0.1) == {"exploration": {"decay": 0.1}}


@pytest.mark.parametrize("given", [None, "1e-4", "lin_", "visit"])
def test_what_is_no_number_is_said(given: Any) -> None:
    with pytest.raises(ValueError, match=r"needs learning_rate in the yml, a number \(0.0001, not"):
        RATE_NUMBER.read({"learning_rate": given})
    with pytest.raises(ValueError, match="needs exploration in the yml"):
        EPSILON_SCHEDULE.write({"exploration": given}, "linear")


def test_no_digit_is_lost() -> None:
    assert write(RATE_SCHEDULE, {"learning_rate": 0.123456789}, "linear") == {
        "learning_rate": "lin_0.123456789"
    }
