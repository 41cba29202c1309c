"""Optimiser settings that make it fast, and their removal before a file is written."""

from __future__ import annotations

from typing import Any

import torch as th
from torch.optim import Optimizer


def make_fast(optimizer: Optimizer) -> None:
    """Let one kernel update all weights (``fused``), on a card also inside a CUDA graph.

    Optimisers without such a kernel (RMSprop), and those whose user chose otherwise, stay as they
    are. On a card the learning rate becomes a tensor, to be filled in place: see :func:`set_rate`.

    :param optimizer: as SB3 made it or loaded it.
    """
    for group in optimizer.param_groups:
        device = group["params"][0].device
        chosen = group.get("fused") is not None or group.get("foreach") is not None
        if "fused" in optimizer.defaults and not chosen:
            group["fused"] = True
        if device.type == "cuda" and "capturable" in optimizer.defaults:
            group["capturable"] = True
            group["lr"] = th.as_tensor(group["lr"], dtype=th.float32, device=device)
    for weight, state in optimizer.state.items():
        if weight.is_cuda and isinstance(state.get("step"), th.Tensor):
            state["step"] = state["step"].to(weight.device)


def set_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Set the learning rate; where it is a tensor, the one that a CUDA graph reads."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], th.Tensor):
            group["lr"].fill_(learning_rate)
        else:
            group["lr"] = learning_rate


def plain_state(optimizer: Optimizer) -> dict[str, Any]:
    """Return the state as SB3's own DQN would save it: without what :func:`make_fast` has set.

    A file with ``capturable`` could not go on training on a CPU.

    :return: a ``state_dict``; its tensors are the optimiser's own, counts of steps copies.
    """
    saved = optimizer.state_dict()
    for group in saved["param_groups"]:
        group["lr"] = float(group["lr"])
        for flag in ("fused", "capturable"):
            if flag in group:
                group[flag] = optimizer.defaults[flag]
    saved["state"] = {
        weight: {
            name: value.cpu().clone() if name == "step" and isinstance(value, th.Tensor) else value
            for name, value in state.items()
        }
        for weight, state in saved["state"].items()
    }
    return saved
