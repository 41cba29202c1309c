"""From settings to a memory: which store, how many frames, where the stack axis is."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space_channels_first

from sb3_atari_course.replay.device_frames import DeviceFrames
from sb3_atari_course.replay.frame_stores import FrameStore
from sb3_atari_course.replay.frame_table import FrameTable
from sb3_atari_course.replay.lz4_frames import Lz4Frames
from sb3_atari_course.replay.plain_frames import PlainFrames
from sb3_atari_course.replay.stacks import StackMemory


def check_settings(
    space: spaces.Space[Any], compression: str | None, device: Any
) -> th.device | Literal["auto"]:
    """Return the device of the frames if such a memory can be built; nothing is built.

    :raises ValueError: for observations that are no stacks of images, for an unknown compression
        or device, and for a compression on a card.
    """
    if not isinstance(space, spaces.Box) or len(space.shape) != 3 or space.dtype != np.uint8:
        raise ValueError(
            "FrameReplayBuffer keeps stacks of images, uint8 boxes of shape (n_stack, h, w) or"
            f" (h, w, n_stack), as VecFrameStack or our FrameStack makes them; got {space}."
            " For other observations use SB3's own ReplayBuffer or DictReplayBuffer, and with"
            " VecNormalize norm_obs=False"
        )
    if compression not in (None, "lz4"):
        raise ValueError(f"compression must be None or 'lz4', got {compression!r}")
    if device == "auto":
        return "auto"
    if str(device).split(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"storage_device must be 'cpu', 'cuda' or 'auto', got {device!r}")
    if th.device(device).type == "cuda" and compression:
        raise ValueError(
            "frames on a card cannot be unpacked there: choose compression='lz4' with"
            " storage_device='cpu', or storage_device='cuda' without compression"
        )
    return th.device(device)


def build_memory(
    space: spaces.Space[Any],
    *,
    n_rows: int,
    n_envs: int,
    compression: str | None,
    device: th.device,
) -> StackMemory:
    """Return an empty memory; frames take memory once they are written.

    :param space: of the observations: (n_stack, h, w) or (h, w, n_stack) uint8.
    :param n_rows: transitions of each environment.
    :param compression: None or ``"lz4"``.
    :param device: where the frames are; a card need not be there yet.
    """
    assert isinstance(space, spaces.Box)
    channels_first = is_image_space_channels_first(space)
    n_stack, height, width = space.shape if channels_first else (space.shape[2], *space.shape[:2])
    frame_size, n_expected = height * width, n_envs * (n_rows + n_stack) + 1
    store: FrameStore
    if compression == "lz4":
        store = Lz4Frames(frame_size)
    elif device.type == "cuda":
        store = DeviceFrames(frame_size, n_expected, device)
    else:
        store = PlainFrames(frame_size, n_expected)
    return StackMemory(
        FrameTable(store, frame_size),
        n_rows=n_rows,
        n_envs=n_envs,
        shape=space.shape,
        channels_first=channels_first,
    )
