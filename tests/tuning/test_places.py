"""Where a parameter stands in a yml: read and written there, the rest left alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sb3_atari_course.tuning import places, schedule_places
from sb3_atari_course.tuning.places import At, Place
from tests.tuning.studies import write

WRAP_ATARI = "sb3_atari_course.envs.wrap_atari"
OTHER = {"b.Wrapper": {"frame_skip": 9}}
WRAP = places.wrapper(WRAP_ATARI)
CROP, FRAME_SKIP = At(WRAP, "crop"), At(WRAP, "frame_skip")
GAMMA, NET_ARCH = At(places.top, "gamma"), At(places.policy_kwargs, "net_arch")
FEATURES, DUELING = At(places.features, "features_dim"), At(places.dueling_policy, "dueling")
FIRST, DECAY = schedule_places.InitialEpsilon(), At(schedule_places.by_episodes, "decay")
RATE, RATE_SCHEDULE, EPSILON = (
    schedule_places.Rate(),
    schedule_places.RateSchedule(),
    schedule_places.EpsilonSchedule(),
)
N_STACK, N_STEPS, UPDATES = places.NStack(WRAP), places.NSteps(), places.UpdatesPerStep()
EXTRACTOR = "features_extractor_kwargs"
OURS = {"policy": "sb3_atari_course.policies.AtariCnnPolicy"}
QUANTILES = {"policy": "sb3_atari_course.policies.AtariQuantileCnnPolicy"}
MEMORY = {"replay_buffer_class": "get_class_by_name('sb3_atari_course.replay.FrameReplayBuffer')"}
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
        assert FEATURES.read(dict(policy)) is None
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
        assert FRAME_SKIP.read({"env_wrapper": copy.deepcopy(given)}) == seen

    def test_pictures_stand_where_the_yml_has_them(self) -> None:
        entry: dict[str, Any] = {"env_wrapper": [wrap()]}
        assert N_STACK.read(entry) is None
        assert write(N_STACK, entry, 2) == {"env_wrapper": [wrap(n_stack=2)]}
        assert N_STACK.read({"env_wrapper": [wrap(n_stack=2)]}) == 2
        assert N_STACK.read({**entry, "frame_stack": 4}) == 4
        assert write(N_STACK, {**entry, "frame_stack": 4}, 2) == {**entry, "frame_stack": 2}
        assert write(N_STACK, {"frame_stack": 4}, 3) == {"frame_stack": 3}  # other wrappers too


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


class TestStepsOfReward:
    def test_of_the_algorithm(self) -> None:
        assert [N_STEPS.read(entry) for entry in ({}, {"n_steps": 5})] == [1, 5]
        assert write(N_STEPS, {"gamma": 0.9}, 3) == {"gamma": 0.9, "n_steps": 3}

    def test_of_our_memory_which_takes_the_discount_of_the_model(self) -> None:
        assert N_STEPS.read(dict(MEMORY)) == 1
        entry = {**MEMORY, "gamma": 0.9, "replay_buffer_kwargs": {"compression": "lz4"}}
        kwargs = {"compression": "lz4", "n_steps": 3, "gamma": None}
        assert write(N_STEPS, entry, 3) == {**entry, "replay_buffer_kwargs": kwargs}
        assert N_STEPS.read({**MEMORY, "replay_buffer_kwargs": "dict(n_steps=2)"}) == 2


@pytest.mark.parametrize(
    ("place", "entry", "message"),
    [
        (FEATURES, {"policy": "CnnPolicy"}, "^needs a policy of ours"),
        (DUELING, QUANTILES, "^needs policy: .*policies.AtariCnnPolicy"),
        (CROP, {}, "^needs sb3_atari_course.envs.wrap_atari in env_wrapper"),
        (CROP, {"env_wrapper": None}, "^needs sb3_atari_course.envs.wrap_atari"),
        (N_STACK, {"env_wrapper": ["a.Wrapper", OTHER]}, "^needs sb3_atari_course.envs"),
        (DECAY, {}, "^needs an exploration by episodes"),
        (DECAY, {"exploration": "lin_1.0"}, "^needs an exploration by episodes"),
        (UPDATES, {"train_freq": [1, "episode"]}, "^needs a train_freq in steps, not"),
        (N_STEPS, {"replay_buffer_class": "Her"}, "^needs our FrameReplayBuffer or .*, not Her$"),
        (N_STEPS, {**MEMORY, "replay_buffer_kwargs": "n"}, "^needs replay_buffer_kwargs as a map"),
    ],
)
def test_what_a_yml_lacks_is_said(place: Place, entry: dict[str, Any], message: str) -> None:
    for use in (lambda: place.read(copy.deepcopy(entry)), lambda: write(place, entry, 1)):
        with pytest.raises(ValueError, match=message):
            use()
