"""Malformed agent files: each is rejected, or loads exactly the agent that was saved."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import DQN

from sb3_atari_course.agents import AgentFileError, load_agent, read_card, write_card
from tests.agents.fuzzer import KINDS, Fuzzer
from tests.agents.zips_and_pickles import pack, payload, unpack, with_payload_in_data

ROOT = Path(__file__).parents[2]
N_FILES = 200
#: Timeout for all files together, in seconds; on an idle machine they take eight.
TIME_LIMIT = 300


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a small valid agent with its model card."""
    folder = tmp_path_factory.mktemp("good")
    kwargs = {"policy_kwargs": {"net_arch": [16]}, "buffer_size": 9, "seed": 1, "device": "cpu"}
    model = DQN("MlpPolicy", "CartPole-v1", **kwargs)
    model.save(folder / "agent.zip")
    write_card(folder, model, env_id="CartPole-v1")
    return folder / "agent.zip"


def make_fuzzer(good: Path, canary: Path, seed: int) -> Fuzzer:
    rng = np.random.default_rng(seed)
    return Fuzzer(good.read_bytes(), read_card(good.parent), str(canary), rng)


def open_all(paths: list[Path], tmp_path: Path) -> tuple[list[dict[str, Any]], int]:
    """Load files in one other process; return their outcomes, and its peak RAM."""
    listed = tmp_path / "paths.json"
    listed.write_text(json.dumps([str(path) for path in paths]))
    done = subprocess.run(
        [sys.executable, "-m", "tests.agents.load_with_limited_ram", str(listed)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (printed[-1:], done.stderr[-2000:])
    return printed[:-1], printed[-1]


@pytest.mark.services
def test_200_malformed_files_are_rejected_or_load_the_saved_agent(
    good: Path, tmp_path: Path
) -> None:
    canary, kinds = tmp_path / "canary", list(KINDS)
    paths = []
    for i in range(N_FILES):
        kind = kinds[i % len(kinds)]
        folder = tmp_path / f"{i:03d} {kind}"
        paths.append(make_fuzzer(good, canary, seed=i).write(kind, folder))
    found, peak = open_all([good, *paths], tmp_path)
    assert found[0]["outcome"] == "opened"
    assert len(found) == 1 + N_FILES
    kinds_of = {
        one["path"]: "same" if one.get("agent") == found[0]["agent"] else one["outcome"]
        for one in found[1:]
    }
    odd = [one for one in found[1:] if kinds_of[one["path"]] not in ("refused", "same")]
    assert odd == [one for one in found[1:] if one["out_of_memory"]] == []
    assert list(kinds_of.values()).count("refused") > 0.8 * N_FILES
    assert max(one["seconds"] for one in found[1:]) < 5
    assert peak < 2**30
    assert not canary.exists()
    for one in found[1:]:
        assert str(tmp_path) in one["message"] or one["outcome"] == "opened"  # it names the file
        assert len(one["message"]) < 1500


@pytest.mark.parametrize("member", ["data", "policy.optimizer.pth", "pytorch_variables.pth"])
def test_payload_next_to_valid_weights_does_not_run(
    good: Path, tmp_path: Path, member: str
) -> None:
    """Every file of SB3 contains pickles; they are ignored."""
    canary, members = tmp_path / "canary", unpack(good.read_bytes())
    poison = b"\x80\x02" + payload(str(canary)) + b"."
    if member == "data":
        members["data"] = with_payload_in_data(members["data"], str(canary))
    else:
        members[member] = poison
    path = tmp_path / "agent.zip"
    path.write_bytes(pack(members))
    env = gym.make("CartPole-v1")
    loaded, original = load_agent(path, env), load_agent(good)
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    expected = original.predict(obs, deterministic=True)[0]
    np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], expected)
    assert not canary.exists()


@pytest.mark.process
def test_payload_runs_in_sb3s_own_load(good: Path, tmp_path: Path) -> None:
    canary, members = tmp_path / "canary", unpack(good.read_bytes())
    members["data"] = with_payload_in_data(members["data"], str(canary))
    path = tmp_path / "agent.zip"
    path.write_bytes(pack(members))
    code = f"from stable_baselines3 import DQN; DQN.load({str(path)!r})"
    subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=100, check=False)
    assert canary.exists()


@pytest.mark.parametrize("n_places", [150, pytest.param(None, marks=pytest.mark.slow)])
def test_flipped_bits_are_rejected_or_change_nothing(
    n_places: int | None, good: Path, tmp_path: Path
) -> None:
    """Dates and permissions of members have no effect; other bits have checksums or checks."""
    content, rng = good.read_bytes(), np.random.default_rng(0)
    directory = range(content.index(b"PK\1\2"), len(content))
    places = [*directory, *rng.integers(len(content), size=100).tolist()]
    if n_places is not None:
        places = rng.choice(places, size=n_places, replace=False).tolist()
    env, obs = gym.make("CartPole-v1"), rng.normal(size=(50, 4)).astype(np.float32)
    expected = load_agent(good).predict(obs, deterministic=True)[0]
    path = tmp_path / "agent.zip"
    n_refused = 0
    for place in places:
        changed = bytearray(content)
        changed[place] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            loaded = load_agent(path, env, device="cpu")
        except AgentFileError:
            n_refused += 1
            continue
        np.testing.assert_array_equal(loaded.predict(obs, deterministic=True)[0], expected)
    assert n_refused > 0.5 * len(places)
