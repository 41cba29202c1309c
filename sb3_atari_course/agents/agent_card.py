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
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_atari_course._common.atomic_files import write_aside
from sb3_atari_course.agents.policy_settings import (
    algorithms,
    dotted,
    policies,
    read_chance,
    read_policy_kwargs,
    write_policy_kwargs,
)
from sb3_atari_course.agents.weights import parse_json, read_file, refuse

#: Numbers in one observation: several screens of an emulator.
MAX_NUMBERS = 2**22
#: Numbers that are listed one by one in a card.
_MAX_LISTED = 10_000
#: Keys of a Dict.
_MAX_KEYS = 100
_DTYPES = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")


def write_space(space: spaces.Space[Any]) -> dict[str, Any]:
    """Return a space as plain data.

    >>> write_space(spaces.Discrete(4))
    {'type': 'Discrete', 'n': 4, 'start': 0}
    >>> write_space(spaces.Box(0, 255, (4, 84, 84), np.uint8))["high"]
    255

    :raises ValueError: for spaces that SB3 does not take either, and bounds too many to list.
    """
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return {
            "type": "MultiDiscrete",
            "nvec": space.nvec.tolist(),
            "start": space.start.tolist(),
        }
    if isinstance(space, spaces.MultiBinary):
        is_flat = isinstance(space.n, int)  # for Gymnasium 7 and (7,) differ
        return {"type": "MultiBinary", "n": space.n if is_flat else list(space.shape)}
    if isinstance(space, spaces.Box) and str(space.dtype) in _DTYPES:
        return {
            "type": "Box",
            "shape": list(space.shape),
            "dtype": str(space.dtype),
            "low": _write_bound(space.low),
            "high": _write_bound(space.high),
        }
    if isinstance(space, spaces.Dict):
        return {"type": "Dict", "spaces": {name: write_space(one) for name, one in space.items()}}
    raise ValueError(f"a card cannot describe the space {space}")


def read_space(plain: Any, *, may_nest: bool = True) -> spaces.Space[Any]:
    """Return the space that plain data describe.

    :param may_nest: False inside a Dict, which SB3 does not nest.
    :raises ValueError: if they describe none, or one that would take much memory.
    """
    if not isinstance(plain, dict):
        raise ValueError(f"a space is an object, got {type(plain).__name__}")
    kind = plain.get("type")
    if kind == "Discrete":
        return spaces.Discrete(
            _integer(plain.get("n"), least=1), start=_integer(plain.get("start", 0))
        )
    if kind == "MultiDiscrete":
        sizes = [_integer(n, least=1) for n in _listed(plain.get("nvec"))]
        starts = [_integer(n) for n in _listed(plain.get("start", [0] * len(sizes)))]
        return spaces.MultiDiscrete(sizes, start=starts)
    if kind == "MultiBinary":
        n = plain.get("n")
        return spaces.MultiBinary(_shape(n) if isinstance(n, list) else _shape([n])[0])
    if kind == "Box":
        return _read_box(plain)
    inner = plain.get("spaces")
    if kind == "Dict" and may_nest and isinstance(inner, dict) and 0 < len(inner) <= _MAX_KEYS:
        return spaces.Dict({name: read_space(one, may_nest=False) for name, one in inner.items()})
    raise ValueError("a space is a Box, Discrete, MultiDiscrete, MultiBinary or a Dict of them")


def _read_box(plain: dict[str, Any]) -> spaces.Box:
    shape = _shape(plain.get("shape"))
    if plain.get("dtype") not in _DTYPES:
        raise ValueError(f"the dtype of a Box is one of {_DTYPES}")
    dtype = np.dtype(plain["dtype"])
    low = _read_bound(plain.get("low"), -math.inf, shape, dtype)
    high = _read_bound(plain.get("high"), math.inf, shape, dtype)
    return spaces.Box(low, high, shape, dtype.type)


def _write_bound(bound: Any) -> Any:
    """Return one number if all are equal, else all in C order; None is infinity."""
    numbers = [None if math.isinf(one) else one for one in bound.ravel().tolist()]
    if len(set(numbers)) == 1:
        return numbers[0]
    if len(numbers) > _MAX_LISTED:
        raise ValueError(f"a card cannot list {len(numbers)} bounds of a Box")
    return numbers


def _read_bound(plain: Any, infinite: float, shape: tuple[int, ...], dtype: Any) -> Any:
    numbers = _listed(plain) if isinstance(plain, list) else [plain]
    if any(one is not None and type(one) not in (int, float) for one in numbers):
        raise ValueError("the bounds of a Box are numbers, or null for none")
    found = np.array([infinite if one is None else one for one in numbers], dtype=np.float64)
    exact = found if dtype.kind == "f" else np.array(numbers, dtype=np.int64)
    if dtype.kind != "f" and not np.array_equal(exact.astype(dtype), exact):
        raise ValueError(f"the bounds of a Box do not fit into its {dtype}")
    whole = exact.astype(dtype).reshape(shape if isinstance(plain, list) else (1,) * len(shape))
    return np.broadcast_to(whole, shape)


def _listed(plain: Any) -> Sequence[Any]:
    if not isinstance(plain, list) or not 0 < len(plain) <= _MAX_LISTED:
        raise ValueError(f"a space lists 1 to {_MAX_LISTED} numbers")
    return plain


def _shape(plain: Any) -> tuple[int, ...]:
    if not isinstance(plain, list) or len(plain) > 8:
        raise ValueError("a shape is a list of at most 8 numbers")
    shape = tuple(_integer(n, least=1) for n in plain)
    if math.prod(shape) > MAX_NUMBERS:
        raise ValueError(f"an observation of shape {shape} has more than {MAX_NUMBERS} numbers")
    return shape


def _integer(plain: Any, *, least: int = -(2**31)) -> int:
    if type(plain) is not int or not least <= plain < 2**31:
        raise ValueError(f"a space has whole numbers of {least} to 2**31, got {plain!r}")
    return plain


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
    path = Path(folder) / CARD
    _check_card(parse_json(text.encode(), path))
    write_aside(path, lambda file: file.write(f"{text}\n".encode()))
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
