"""Check that a CUDA device is there: PyTorch and SB3 refuse late, or take the CPU."""

from __future__ import annotations

from typing import Any

import torch as th

from sb3_atari_course._common.errors import SettingError


def check_cuda_device(name: str, device: Any) -> None:
    """Raise an error if a setting asks for a GPU that is not there.

    :param name: of the setting, for the message.
    :param device: ``"auto"``, or what PyTorch takes for a device.
    :raises SettingError: without that GPU, and for what is not a device.
    """
    try:
        asked = th.device("cpu" if device == "auto" else device)
    except RuntimeError:
        raise SettingError(f"{name} must be 'auto', 'cpu' or 'cuda', got {device!r}") from None
    if asked.type == "cuda" and (asked.index or 0) >= th.cuda.device_count():
        raise SettingError(
            f"{name}={str(device)!r}, but this machine has no such card (CUDA cards:"
            f" {th.cuda.device_count()}): choose 'cpu', or 'auto' for a card where there is one"
        )
