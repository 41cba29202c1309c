"""Spaces: read, changed by the command line, fitted to a yml, drawn from, filled again."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FixedTrial, Trial

from sb3_atari_course.tuning.space import Space, adapt_space, load_space

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


def ask(seed: int) -> Trial:
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()


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
            ("q_learning", {"decay": [0.1, 1]}, TABLE, "^parameter decay needs an exploration by"),
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
