"""Tests of the validation of arguments."""

from __future__ import annotations

import inspect
import pickle
import re
from typing import Any

import numpy as np
import pytest

from sb3_atari_course._common.errors import SettingError
from sb3_atari_course._common.validation import (
    boolean,
    callers,
    check_torch_device,
    explain_arguments,
    finite_number,
    probability,
)
from sb3_atari_course.wrappers import (
    ActionRepeat,
    ClipReward,
    CropGrayResize,
    DiscretizeActions,
    DiscretizeObservations,
    FireOnReset,
    FrameStack,
    LifeLossTerminal,
    NoopReset,
    crop_gray_resize,
)
from tests.fakes import FakeGame


def test_accepts_real_numbers_of_python_and_numpy() -> None:
    for number in (0, 1.5, np.float32(2), np.int64(3)):
        assert finite_number("x", number) == number
        assert type(finite_number("x", number)) is float


@pytest.mark.parametrize(
    ("value", "error"),
    [("1", TypeError), (None, TypeError), (True, TypeError), (1j, TypeError), ([1], TypeError),
     (float("nan"), ValueError), (float("inf"), ValueError)],
)  # fmt: skip
def test_rejects_values_that_are_not_finite_numbers(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="x "):
        finite_number("x", value)


@pytest.mark.parametrize("value", ["no", "true", 0, 1, 1.0, None, [True], np.array([True])])
def test_rejects_flags_that_are_not_bools(value: object) -> None:
    with pytest.raises(TypeError, match="max_pool"):
        boolean("max_pool", value)


@pytest.mark.parametrize("value", [True, np.True_, False, np.False_])
def test_flags_may_be_numpy_bools(value: object) -> None:
    assert boolean("max_pool", value) is bool(value)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_probability_must_be_from_0_to_1(value: float) -> None:
    with pytest.raises(ValueError, match="epsilon"):
        probability("epsilon", value)
    assert probability("epsilon", 1) == 1.0


@explain_arguments
def example(first: int, second: int = 2, *, noop_max: int = 3, frame_skip: int = 4) -> list[int]:
    """Return its arguments."""
    return [first, second, noop_max, frame_skip]


class TestExplainArguments:
    def test_accepts_valid_arguments(self) -> None:
        assert example(1) == [1, 2, 3, 4]
        assert example(1, 5, frame_skip=6) == [1, 5, 3, 6]
        assert example(second=5, first=1, noop_max=6) == [1, 5, 6, 4]

    @pytest.mark.parametrize(
        ("wrong", "near"),
        [
            ("frame_skp", "frame_skip"),  # similar spelling
            ("noops", "noop_max"),  # name in another library
            ("num_envs", None),
        ],
    )
    def test_suggests_the_nearest_name_and_lists_all(self, wrong: str, near: str | None) -> None:
        with pytest.raises(TypeError) as caught:
            example(1, **{wrong: "abc"})  # type: ignore[arg-type]
        message = str(caught.value)
        assert "example" in message
        assert f"{wrong}='abc'" in message
        assert ("did you mean" in message) == (near is not None)
        assert f"did you mean {near}?" in message or near is None
        assert message.endswith("first, second, noop_max, frame_skip")

    def test_rejects_too_many_positional_arguments(self) -> None:
        with pytest.raises(TypeError, match=r"example .*7 .* noop_max=, frame_skip"):
            example(1, 2, 7)  # type: ignore[misc]

    def test_preserves_signature_and_docstring(self) -> None:
        assert list(inspect.signature(example).parameters) == [
            "first",
            "second",
            "noop_max",
            "frame_skip",
        ]
        assert example.__doc__ == "Return its arguments."
        assert pickle.loads(pickle.dumps(example)) is example

    @pytest.mark.parametrize(
        ("function", "wrong", "near"),
        [
            (NoopReset, "noops", "noop_max"),
            (ActionRepeat, "skip", "frame_skip"),
            (CropGrayResize, "crops", "crop"),
            (FrameStack, "frame_stack", "n_stack"),
            (DiscretizeActions, "n_bin", "n_bins"),
            (DiscretizeObservations, "lows", "low"),
            (crop_gray_resize, "screen_size", "shape"),
            (FireOnReset, "envs", "env"),
            (LifeLossTerminal, "envs", "env"),
            (ClipReward, "envs", "env"),
        ],
    )
    def test_is_used_by_all_wrappers(self, function: Any, wrong: str, near: str) -> None:
        with pytest.raises(TypeError, match=rf"{wrong}=5: did you mean {near}\?"):
            function(FakeGame(), **{wrong: 5})


def test_callers_are_yielded_innermost_first() -> None:
    class Caller:
        def __init__(self, inner: Caller | None = None) -> None:
            self.inner = inner

        def call(self) -> list[Caller]:
            return self.inner.call() if self.inner else list(callers(Caller))

    inner = Caller()
    outer = Caller(inner)
    assert outer.call() == [inner, outer]
    assert inner.call() == [inner]


@pytest.mark.parametrize("device", ["cuda:99", "xpu:99", "hpu", "tpu", "cuda:x", 1.5, None])
def test_check_torch_device_rejects_devices_that_do_not_exist(device: Any) -> None:
    with pytest.raises(SettingError, match=re.escape(f"device={device!r}") + "|got"):
        check_torch_device("device", device)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_check_torch_device_accepts_the_cpu(device: str) -> None:
    check_torch_device("device", device)
