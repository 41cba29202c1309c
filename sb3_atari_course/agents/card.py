"""``card.json``: what the agents of a folder are, beside their zips.

One card for all zips of a folder::

    {"format": 1, "algorithm": "dqn", "env_id": "BreakoutNoFrameskip-v4",
     "policy": "sb3_atari_course.policies.AtariCnnPolicy", "policy_kwargs": {"dueling": true},
     "observation_space": {...}, "action_space": {...}, "exploration_rate": 0.01,
     "files": {"BreakoutNoFrameskip-v4.zip": {"sha256": "...", "bytes": 13700000}}}

All but ``format`` and ``files`` may be missing; other keys are kept and handed on.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_atari_course.agents.errors import refuse
from sb3_atari_course.agents.files import parse_json, read_file
from sb3_atari_course.agents.known import algorithms, dotted, policies
from sb3_atari_course.agents.plain_spaces import read_space, write_space
from sb3_atari_course.agents.settings import (
    read_chance,
    read_policy_kwargs,
    write_policy_kwargs,
)

CARD = "card.json"
#: In bytes.
MAX_CARD = 2**20
_FORMAT = 1
_SHA = re.compile(r"[0-9a-f]{64}", re.ASCII)


def read_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return a card, checked; classes and spaces stay the plain data that it holds.

    :param path: the card, or its folder.
    :raises FileNotFoundError: if there is none.
    :raises AgentFileError: if it is malformed, or names what is not known here.
    """
    where = Path(path)
    return _read(where / CARD if where.is_dir() else where)


def write_card(
    folder: str | os.PathLike[str],
    model: BaseAlgorithm,
    *,
    env_id: str | None = None,
    **more: Any,
) -> Path:
    """Write the card of all zips in a folder; one that was there is replaced.

    :param folder: with the zips that ``model.save`` has written, all of this kind of agent.
    :param model: one of them, loaded or just trained.
    :param env_id: Gymnasium's id of what it was trained on.
    :param more: further plain data, to be handed on by :func:`read_card`.
    :return: the card's path.
    :raises FileNotFoundError: if there is no zip in the folder.
    :raises ValueError: for a model that no card can describe: a class of your own, say.
    """
    zips = sorted(Path(folder).glob("*.zip"))
    if not zips:
        raise FileNotFoundError(f"the folder {folder} has no .zip: save the model there first")
    card: dict[str, Any] = {"format": _FORMAT, **describe(model)}
    if env_id is not None:
        card["env_id"] = env_id
    card["files"] = {one.name: _fingerprint(one.read_bytes()) for one in zips}
    clash = sorted(set(card) & set(more))
    if clash:
        raise ValueError(f"the card says by itself what {clash} are: leave them out")
    card.update(more)
    text = json.dumps(card, indent=2, allow_nan=False)
    path, aside = Path(folder) / CARD, Path(folder) / f"{CARD}.part"
    _check_card(parse_json(text.encode(), path))
    aside.write_text(text + "\n", encoding="utf-8")
    os.replace(aside, path)
    return path


def find_card(agent: Path) -> dict[str, Any]:
    """Return the card beside an agent's zip, empty if there is none.

    The card may be a link only if it leads where the zip itself lies, as in a cache of the
    Hugging Face hub: whoever made the folder cannot make us read other files.

    :raises AgentFileError: if it is malformed, or leads elsewhere.
    """
    path = agent.with_name(CARD)
    if not os.path.lexists(path):
        return {}
    if path.resolve().parent != agent.resolve().parent:
        raise refuse(path, "it is a link to another folder than that of the agent", "copy it here")
    if not path.exists():
        raise refuse(path, "it is a link to nothing", "copy it here")
    return _read(path)


def check_fingerprint(content: bytes, agent: Path, card: dict[str, Any]) -> None:
    """Raise an error unless a file is the one that its card tells of.

    :raises AgentFileError: if it is another, or none that the card knows.
    """
    if agent.name not in card["files"]:
        known = sorted(card["files"])[:5]
        raise refuse(agent, f"its card knows {known}, not this file", "write_card adds it")
    if card["files"][agent.name] != _fingerprint(content):
        raise refuse(agent, "its SHA-256 is not the one in its card", "fetch both again")


def _read(where: Path) -> dict[str, Any]:
    card = parse_json(read_file(where, max_bytes=MAX_CARD), where)
    try:
        _check_card(card)
    except (ValueError, RecursionError) as error:
        raise refuse(where, f"it is no valid card, {error}", "write it with write_card") from None
    return card


def _fingerprint(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def describe(model: BaseAlgorithm) -> dict[str, Any]:
    """Return what a card says of a model.

    :raises ValueError: for a model that no card can describe.
    """
    names = [name for name, cls in algorithms().items() if cls is type(model)]
    if not names:
        raise ValueError(f"{type(model).__name__} is none of RL Zoo's algorithms nor ours")
    policy = dotted(model.policy_class)
    if policy not in policies(type(model)):
        raise ValueError(f"the policy {policy} is not known here, so no card can name it")
    described: dict[str, Any] = {
        "algorithm": names[0],
        "policy": policy,
        "policy_kwargs": write_policy_kwargs(model.policy_kwargs),
        "observation_space": write_space(model.observation_space),
        "action_space": write_space(model.action_space),
    }
    if hasattr(model, "exploration_rate"):
        described["exploration_rate"] = float(model.exploration_rate)
    if model.use_sde:
        described["use_sde"] = True
    return described


def _check_card(card: dict[str, Any]) -> None:
    """Raise a ValueError unless all that we know of a card is in order."""
    if type(card.get("format")) is not int or card["format"] != _FORMAT:
        raise ValueError(f"its format is not {_FORMAT}")
    known = algorithms()
    algorithm = card.get("algorithm")
    if algorithm is not None and (not isinstance(algorithm, str) or algorithm not in known):
        raise ValueError(f"its algorithm is none of {sorted(known)}")
    policy = card.get("policy")
    if policy is not None and (
        algorithm is None or not isinstance(policy, str) or policy not in policies(known[algorithm])
    ):
        raise ValueError(f"its policy is none that is known for the algorithm {algorithm}")
    if not isinstance(card.get("env_id", ""), str):
        raise ValueError("its env_id is no text")
    if type(card.get("use_sde", False)) is not bool:
        raise ValueError("its use_sde is neither true nor false")
    if "exploration_rate" in card:
        read_chance("exploration_rate", card["exploration_rate"])
    read_policy_kwargs(card.get("policy_kwargs", {}))
    for name in ("observation_space", "action_space"):
        if name in card:
            read_space(card[name])
    _check_files(card.get("files"))


def _check_files(files: Any) -> None:
    if not isinstance(files, dict):
        raise ValueError("it does not list its files")
    for name, told in files.items():
        if Path(name).name != name or not isinstance(told, dict):
            raise ValueError(f"its file {name[:100]!r} is no name in this folder")
        sha = told.get("sha256")
        if (
            not isinstance(sha, str)
            or not _SHA.fullmatch(sha)
            or type(told.get("bytes")) is not int
        ):
            raise ValueError(f"it does not give sha256 and bytes of {name[:100]!r}")
