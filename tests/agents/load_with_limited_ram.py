"""Loads agents in a separate process with limited RAM, and prints the outcomes.

``python -m tests.agents.load_with_limited_ram LIST``: a JSON list of paths; prints one line of
JSON for each.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import torch as th

from sb3_atari_course.agents import AgentFileError, load_agent

#: RAM that loading may take, in bytes.
MAX_RAM = 2**30


def open_one(path: str) -> dict[str, Any]:
    start = time.process_time()
    outcome: dict[str, Any] = {"path": path, "out_of_memory": False, "message": ""}
    try:
        agent: Any = load_agent(path, gym.make("CartPole-v1"), device="cpu")
        outcome.update(outcome="opened", agent=fingerprint(agent))
    except (AgentFileError, FileNotFoundError) as error:
        outcome.update(outcome="refused", message=str(error), out_of_memory=ran_out(error))
    except BaseException as error:  # reported to the caller
        outcome.update(outcome=type(error).__name__, message=str(error))
    return {**outcome, "seconds": time.process_time() - start}


def fingerprint(agent: Any) -> str:
    """Return a hash of an agent's classes, weights and exploration rate."""
    weights = {name: one.tolist() for name, one in agent.policy.state_dict().items()}
    kind = (type(agent).__name__, type(agent.policy).__name__, str(agent.policy))
    content = json.dumps([*kind, weights, agent.exploration_rate])
    return hashlib.sha256(content.encode()).hexdigest()


def ran_out(error: BaseException | None) -> bool:
    """Return whether an error was caused by a failed allocation."""
    while error is not None:
        if isinstance(error, MemoryError) or "can't allocate" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def limit_memory() -> None:
    """Limit the address space of this process, so that larger allocations fail."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MAX_RAM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(listed: str) -> None:
    th.set_num_threads(1)
    paths = json.loads(Path(listed).read_text())
    print(json.dumps(open_one(paths[0])), flush=True)  # finishes lazy imports
    limit_memory()
    for path in paths[1:]:
        print(json.dumps(open_one(path)), flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
