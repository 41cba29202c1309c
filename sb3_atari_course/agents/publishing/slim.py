"""An agent's zip without what only a training needs: optimiser, second network, last screens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch as th
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.save_util import load_from_zip_file, save_to_zip_file

#: Of what SB3 saves: the last screens, episodes for its log, a folder of the machine that trained.
_OF_A_TRAINING = (
    "_last_obs",
    "_last_original_obs",
    "_last_episode_starts",
    "ep_info_buffer",
    "ep_success_buffer",
    "tensorboard_log",
    "lr_schedule",  # made anew from learning_rate; pickled functions tell where their source lay
)
#: Settings of FastDQN, which SB3's DQN does not know.
_OF_FAST_DQN = ("double_q", "compile")


def write_slim(source: Path, path: Path) -> None:
    """Write an agent's zip anew, for playing.

    The optimiser's state is left out (its settings stay), and a target network becomes the online
    one, whose tensors the file then holds once: a quarter of DQN's file is left. SB3's own ``load``
    opens it, and so does ``load_agent``. A training that begins with it begins with new averages.
    Played with chance it plays by the epsilon at which its training was to end, as its card says,
    not by that of its moment: RL Zoo's ``enjoy`` of an early agent shows what that had learned.

    :param source: saved by SB3, from a trusted hand: it is unpickled.
    :param path: of the new zip.
    :raises ValueError: if the source has no settings.
    """
    data, parameters, variables = load_from_zip_file(source, device="cpu")
    if data is None:
        raise ValueError(f"{source} holds no settings: is it an agent that SB3 has saved?")
    for name in (*_OF_A_TRAINING, *_OF_FAST_DQN):
        data.pop(name, None)
    if {"exploration_rate", "exploration_final_eps"} <= set(data):
        data["exploration_rate"] = data["exploration_final_eps"]
    if data.get("replay_buffer_class") is NStepReplayBuffer:
        _let_sb3_choose_memory(data)
    states: list[Any] = [*parameters.values()]  # SB3 types them as tensors
    for state in states:
        if "param_groups" in state:
            state["state"] = {}
        else:
            _share_targets(state)
    save_to_zip_file(path, data=data, params=parameters, pytorch_variables=variables)


def _let_sb3_choose_memory(data: dict[str, Any]) -> None:
    """Undo SB3's choice for ``n_steps``: it makes it again, and warns where it finds it made."""
    data["replay_buffer_class"] = None
    kwargs = data["replay_buffer_kwargs"]
    rest = {key: value for key, value in kwargs.items() if key not in ("n_steps", "gamma")}
    data["replay_buffer_kwargs"] = rest


def _share_targets(state: dict[str, Any]) -> None:
    """Let a target network's tensors be those of the online network."""
    for name in state:
        online = state.get(name.replace("_target.", "."))
        if "_target." in name and isinstance(online, th.Tensor):
            state[name] = online
