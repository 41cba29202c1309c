"""Ray cluster: starting Ray on this machine or joining a cluster, and running functions on it.

Each function runs in the main thread of a separate process, which ends with it. A process that dies
is reported as :attr:`Ended.death` and not restarted: its caller knows what to resume.
"""

from __future__ import annotations

import contextlib
import gc
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from sb3_atari_course import __version__
from sb3_atari_course._common.atomic_files import write_result

#: Seconds within which a cluster must answer.
_CONNECT_TIMEOUT = 5.0

#: Seconds within which all nodes must start a process and look for a folder.
_PROBE_TIMEOUT = 60.0

#: Arguments of :func:`ray.init`: output of the functions stays on their nodes.
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}

#: Bytes of shared memory for a Ray of our own: only settings and scores pass through it.
_OBJECT_STORE = 80 * 2**20


@dataclass(frozen=True)
class Ended:
    """End of a function on the cluster; all None if it was interrupted before it started.

    :param value: what it returned.
    :param error: the exception that it raised.
    :param death: how its process ended without either: killed, or with its node.
    """

    value: Any = None
    error: Exception | None = None
    death: str | None = None


class Task:
    """Function on the cluster, started by :meth:`Cluster.start`.

    :param ref: Ray's reference to its result.
    """

    def __init__(self, ref: Any) -> None:
        self._ref = ref

    def poll(self) -> Ended | None:
        """Return how the function ended; None while it runs or waits for a node.

        :raises ConnectionError: if the Ray of this machine has ended.
        """
        import ray
        from ray import exceptions

        if not ray.wait([self._ref], timeout=0)[0]:
            return None
        try:
            return Ended(value=ray.get(self._ref))
        except exceptions.TaskCancelledError:
            return Ended()
        except exceptions.RayTaskError as error:
            cause = error.cause
            return Ended(error=cause if isinstance(cause, Exception) else error)
        except exceptions.NodeDiedError:
            return Ended(death="lost with its node")
        except exceptions.LocalRayletDiedError as error:
            raise ConnectionError(
                "Ray has ended on this machine, killed or by `ray stop`: run the same command again"
                " to resume"
            ) from error
        except exceptions.OutOfMemoryError:
            return Ended(death="killed by Ray because its node ran out of memory")
        except exceptions.RayError as error:
            reason = str(error).partition("\n")[0]
            death = "killed" if isinstance(error, exceptions.WorkerCrashedError) else reason
            return Ended(death=death)

    def interrupt(self) -> None:
        """Interrupt the function like Ctrl-C; remove it from the queue if it has not started."""
        import ray

        ray.cancel(self._ref, force=False)


def need_ray() -> None:
    """Check for Ray, before any work is done.

    :raises ImportError: without the extra ``cluster``.
    """
    if find_spec("ray") is None:
        raise ImportError(
            'this needs Ray, of the extra "cluster": pip install "sb3_atari_course[cluster]"'
        )


class Cluster:
    """Connection to a Ray cluster, or a Ray on this machine as long as this process lives.

    :param address: ``"auto"``, ``"HOST:PORT"`` or ``"ray://HOST:PORT"``; None starts Ray here.
    :param n_cpus: CPUs of a Ray started here, all of which :meth:`start` hands out.
    :raises ImportError: without the extra ``cluster``.
    :raises ValueError: if no cluster answers at the address.
    """

    def __init__(self, address: str | None = None, *, n_cpus: int) -> None:
        need_ray()
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # sends nothing to Ray's makers
        if address is None:
            _start_here(n_cpus)
        else:
            _join(os.environ.get("RAY_ADDRESS", address) if address == "auto" else address)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *exception: object) -> None:
        import ray

        ray.shutdown()

    def start(
        self, function: Callable[..., Any], *arguments: Any, cpus: float = 1, gpus: float = 0
    ) -> Task:
        """Start a function in a separate process of a node, as soon as one has room.

        :param function: importable on the nodes; ``KeyboardInterrupt`` asks it to stop.
        :param arguments: of the function, small.
        :param cpus: CPUs reserved for it, fractions allowed.
        :param gpus: GPUs reserved for it, fractions allowed.
        """
        import ray

        place: Any = ray.remote(num_cpus=cpus, num_gpus=gpus, max_calls=1, max_retries=0)
        return Task(place(_interruptible).remote(function, *arguments))

    def check_request(self, *, cpus: float, gpus: float) -> None:
        """Check that a node has the CPUs and GPUs that one function requests.

        :raises ValueError: if none has them: the function would wait forever.
        """
        have = [(node.get("CPU", 0), node.get("GPU", 0)) for node in self._resources()]
        if not any(cpus <= n_cpus and gpus <= n_gpus for n_cpus, n_gpus in have):
            nodes = ", ".join(sorted({f"{c:g} CPUs and {g:g} GPUs" for c, g in have}))
            raise ValueError(
                f"a run requests {cpus:g} CPUs and {gpus:g} GPUs, but no node has both: the nodes"
                f" have {nodes or 'none'}; lower --cpus or --gpus"
            )

    def n_slots(self, *, cpus: float, gpus: float) -> int:
        """Return how many functions with this request run at once."""
        return sum(
            int(min(node.get("CPU", 0) / cpus, node.get("GPU", 0) / gpus if gpus else 2**31))
            for node in self._resources()
        )

    def check_folder(self, folder: Path) -> None:
        """Check that every node sees a folder, and has this version of the package.

        :raises ValueError: if one does not.
        """
        import ray
        from ray import exceptions
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        token = folder / f".visible-{secrets.token_hex(8)}"
        write_result(token, lambda file: file.write(b"\n"), advice="choose another folder (-f)")
        try:
            probes, place = {}, cast(Any, ray.remote)  # its overloads lack this strategy
            for node in ray.nodes():
                if node["Alive"]:
                    on_node = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                    probe = place(visible).options(num_cpus=0, scheduling_strategy=on_node)
                    probes[probe.remote(str(token))] = node["NodeManagerHostname"]
            done, missing = ray.wait(list(probes), num_returns=len(probes), timeout=_PROBE_TIMEOUT)
            for ref in missing:
                raise ValueError(f"node {probes[ref]} does not answer: remove it from the cluster")
            for ref in done:
                lost = (exceptions.TaskUnschedulableError, exceptions.NodeDiedError)
                try:
                    _check_probe(ray.get(ref), probes[ref], folder)
                except lost:  # the node has just died
                    pass
                except exceptions.RayError as error:
                    raise ValueError(
                        f"node {probes[ref]} cannot import sb3_atari_course: install version"
                        f" {__version__} on it"
                    ) from error
        finally:
            token.unlink(missing_ok=True)

    def _resources(self) -> list[dict[str, float]]:
        import ray

        return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _interruptible(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function that can be interrupted, also where jobs in the background ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.freeze()  # Ray's modules stay: garbage collection need not look at them
    return function(*arguments)


def visible(token: str) -> tuple[bool, str]:
    """Return whether a file is visible on this node, and the version of this package."""
    return Path(token).is_file(), __version__


def _check_probe(found: tuple[bool, str], node: str, folder: Path) -> None:
    is_visible, version = found
    if not is_visible:
        raise ValueError(
            f"node {node} does not see {folder}: choose a folder (-f) on a file system that all"
            " nodes share under the same path"
        )
    if version != __version__:
        raise ValueError(
            f"node {node} has sb3_atari_course {version}, this process {__version__}: install the"
            " same version on all nodes"
        )


def _start_here(n_cpus: int) -> None:
    """Start Ray on this machine until :func:`ray.shutdown` or the death of this process."""
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # else it copies the folder
    import ray

    with _ctrl_c_afterwards():
        ray.init(
            "local",
            num_cpus=n_cpus,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE,
            **_QUIET,
        )


@contextlib.contextmanager
def _ctrl_c_afterwards() -> Iterator[None]:
    """Delay Ctrl-C: Ray (2.60) may crash at the exit if it was interrupted while it started."""
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        signal.raise_signal(signal.SIGINT)


def _join(address: str) -> None:
    """Join a cluster.

    :raises ValueError: if none answers.
    """
    import ray
    from ray.exceptions import RayError

    if address != "auto":
        _check_answers(address)
    try:
        with _ctrl_c_afterwards():
            ray.init(address, **_QUIET)
    except ConnectionError as error:
        if address != "auto":
            raise _unreachable(address, error) from error
        raise ValueError(
            "--address auto: no Ray runs on this machine: start one with `ray start --head`, pass"
            " its address, or leave --address out"
        ) from error
    except (RayError, RuntimeError, ValueError) as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())
    return ValueError(f"--address {address}: cannot join this cluster: {reason}")


def _check_answers(address: str) -> None:
    """Check that a server answers at an address: Ray itself would try for minutes.

    :raises ValueError: if none does.
    """
    import grpc

    host_and_port = address.removeprefix("ray://")
    host, _, port = host_and_port.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"--address {address}: must be auto, HOST:PORT or ray://HOST:PORT")
    with contextlib.closing(grpc.insecure_channel(host_and_port)) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_CONNECT_TIMEOUT)
        except grpc.FutureTimeoutError:
            raise ValueError(
                f"--address {address}: no Ray answers there within {_CONNECT_TIMEOUT:g} s: is the"
                " cluster running, and the port open?"
            ) from None
