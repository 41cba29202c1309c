"""Opens every agent that it is told of, in a process of its own, and says what happened.

``python -m tests.agents.opening LIST``: a JSON list of paths, one line for each on stdout.
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

#: Memory that opening may take, in bytes.
MOST = 2**30


def open_one(path: str) -> dict[str, Any]:
    begin = time.process_time()
    said: dict[str, Any] = {"path": path, "memory": False, "message": ""}
    try:
        agent: Any = load_agent(path, gym.make("CartPole-v1"), device="cpu")
        said.update(outcome="opened", agent=fingerprint(agent))
    except (AgentFileError, FileNotFoundError) as error:
        said.update(outcome="refused", message=str(error), memory=ran_out(error))
    except BaseException as error:  # the caller reads which
        said.update(outcome=type(error).__name__, message=str(error))
    return {**said, "seconds": time.process_time() - begin}


def fingerprint(agent: Any) -> str:
    """Return what an agent is, as text: its weights, and how often it explores."""
    weights = {name: one.tolist() for name, one in agent.policy.state_dict().items()}
    kind = (type(agent).__name__, type(agent.policy).__name__, str(agent.policy))
    content = json.dumps([*kind, weights, agent.exploration_rate])
    return hashlib.sha256(content.encode()).hexdigest()


def ran_out(error: BaseException | None) -> bool:
    """Tell whether memory had run out somewhere behind an error."""
    while error is not None:
        if isinstance(error, MemoryError) or "can't allocate" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def limit_memory() -> None:
    """Let allocations fail that take more than the limit, touched or not."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MOST
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(listed: str) -> None:
    th.set_num_threads(1)
    paths = json.loads(Path(listed).read_text())
    print(json.dumps(open_one(paths[0])), flush=True)  # whatever is imported late is there now
    limit_memory()
    for path in paths[1:]:
        print(json.dumps(open_one(path)), flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
