"""What can be tuned, and that each parameter stands where it is read."""

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
from sb3_atari_course.tuning.parameters import ALGORITHMS, find_parameter, parameters_of

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
                one.place.write(entry, VALUES[name][0])
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
            find_parameter(algo, name).place.write(written, value)
            moved = MOVED_BY.get(name, set())
            after = readings(algo, written, without=lacking | moved)
            expected = {key: before[key] for key in after} | {name: value}
            assert after == expected, name
