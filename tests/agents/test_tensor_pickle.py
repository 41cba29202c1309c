"""Pickles of tensors, read without making anything."""

from __future__ import annotations

import pytest
import torch as th

from sb3_atari_course.agents.tensor_pickle import MAX_PICKLE, NotTensorsError, plan_tensors
from tests.agents.making import Tensor, state_pickle, text

ONE = Tensor("0", (2, 3), (3, 1), 6)
GOOD = state_pickle([("a", ONE)])


def test_a_plan_tells_shape_type_and_record() -> None:
    plan = plan_tensors(state_pickle([("a", ONE), ("b", ONE.but(kind="LongStorage", key="7"))]))
    assert list(plan) == ["a", "b"]
    assert (plan["a"].shape, plan["a"].dtype, plan["a"].n_bytes) == ((2, 3), th.float32, 24)
    assert (plan["b"].storage.key, plan["b"].dtype, plan["b"].n_bytes) == ("7", th.int64, 48)


@pytest.mark.parametrize(
    ("pickled", "match"),
    [
        (b"", "cannot be read"),
        (GOOD[:-1], "cannot be read"),
        (GOOD + b"N.", "does not end where it should"),
        (b"\x80\x02)" + GOOD[2:], "does not end where it should"),
        (b"\x80\x02(" + GOOD[2:], "does not end where it should"),
        (b"\x80\x04" + GOOD[2:], "protocol is not 2"),
        (GOOD[:-1] + b"q\x00" * MAX_PICKLE + b".", "more than 1048576"),
        (state_pickle([("a", ONE), ("a", ONE)]), "two tensors of one name"),
        (state_pickle([("a", text("x"))]), "'a' is no tensor"),
        (state_pickle([("a", ONE.but(hooks=b"}" + text("x") + b")s"))]), "unknown kind"),
        (b"\x80\x02}.", "no dictionary of tensors"),
        (b"\x80\x02cos\nsystem\n.", "names 'os system'"),
        (b"\x80\x02ccollections\nOrderedDict\n(K\x01tR.", "calls something"),
        (GOOD[:-1] + b"}" + text("x") + b")sb.", "changes something"),
        (b"\x80\x02N.", "needs NONE"),
    ],
)
def test_anything_else_is_refused(pickled: bytes, match: str) -> None:
    with pytest.raises(NotTensorsError, match=match):
        plan_tensors(pickled)
