"""The transitions of a batch that an update function gets, and whether it can learn from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from sb3_atari_course.course.exercises.judging import WrongError
from sb3_atari_course.course.exercises.marked_env import marks_of

#: Fields of a Batch.
_FIELDS = ("states", "actions", "rewards", "next_states", "ended")


@dataclass(frozen=True)
class Row:
    """One transition of a batch.

    :param before: marks of its state, the newest last.
    :param after: marks of its next state.
    :param action: remembered action.
    :param reward: remembered reward.
    :param ended: remembered end.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    action: int
    reward: float
    ended: float


def read_rows(batch: Any, batch_size: int, input_shape: tuple[int, ...]) -> list[Row]:
    """Return the transitions of a batch.

    :param batch: a Batch, or its five fields in order.
    :param batch_size: how many there must be.
    :param input_shape: shape of an observation: (n_inputs,) or (n_stack, height, width).
    :raises WrongError: if the update cannot learn from it.
    """
    if all(hasattr(batch, name) for name in _FIELDS):
        fields = {name: getattr(batch, name) for name in _FIELDS}
    elif isinstance(batch, (tuple, list)) and len(batch) == len(_FIELDS):
        fields = dict(zip(_FIELDS, batch, strict=True))
    else:
        raise WrongError(
            f"the update got {type(batch).__name__} as its batch: give it a Batch, made by"
            " sample_batch(memory, batch_size, rng)"
        )
    for name, field in fields.items():
        _check_field(name, field, (batch_size, *(input_shape if "states" in name else ())))
    states, next_states = (marks_of(fields[name].detach().numpy()) for name in _FIELDS[::3])
    values = (fields[name].tolist() for name in ("actions", "rewards", "ended"))
    return [
        Row(tuple(before), tuple(after), int(action), float(reward), float(ended))
        for before, after, action, reward, ended in zip(
            states.tolist(), next_states.tolist(), *values, strict=True
        )
    ]


def _check_field(name: str, field: Any, shape: tuple[int, ...]) -> None:
    """Check the type and shape of one field.

    :raises WrongError: if it is not a tensor of this shape, or if its type changes numbers.
    """
    if not isinstance(field, torch.Tensor):
        raise WrongError(
            f"{name} of a batch is a {type(field).__name__}, not a tensor: write torch.as_tensor"
        )
    found = tuple(field.shape)
    if (found or (1,))[0] != shape[0]:
        n_rows = (found or (1,))[0]
        hint = ": one transition is not a batch" if n_rows == 1 else ""
        raise WrongError(f"a batch has {n_rows} transitions, batch_size is {shape[0]}{hint}")
    if found != shape:
        hint = (
            "n_stack, shape and crop are arguments, the number of inputs is that of env"
            if len(shape) > 1
            else "beside (B,), a column (B, 1) makes (B, B) in the update"
        )
        raise WrongError(f"{name} of a batch has the shape {found}, not {shape}: {hint}")
    if len(shape) == 4 and field.dtype != torch.uint8:
        raise WrongError(
            f"{name} of a batch are {field.dtype}: keep bytes (uint8), floats need four times as"
            " much RAM; they are divided by 255 when the network needs them"
        )
    if name == "rewards" and field.dtype in (torch.uint8, torch.bool):
        raise WrongError(
            f"rewards of a batch are {field.dtype}, which cannot hold -1: only frames are bytes;"
            " rewards are floats"
        )
