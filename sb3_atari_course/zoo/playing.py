"""RL Zoo's commands that play: the agent that they take, the display, the video."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import os
import re
import runpy
import signal
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

from huggingface_sb3 import EnvironmentName, ModelName
from rl_zoo3 import ALGOS

from sb3_atari_course.zoo.run_folder import check_model, read_settings


@contextlib.contextmanager
def agent_for_rl_zoo(
    module: Any, algo: str, env_id: str, run: Path, model_path: Path, device: str | None = None
) -> Iterator[None]:
    """Let RL Zoo take the agent that was found, on the device that was asked for.

    RL Zoo 2.9.2 has no flag for a folder of ``--uuid``, and ``record_video`` none for a device; it
    looks for the model by a function and for its algorithm in a dictionary, which are ours here.

    :param module: where RL Zoo's command has its ``get_model_path`` from.
    :param device: None for the one that RL Zoo's command loads it to.
    :raises ValueError: if its files are damaged, or RL Zoo cannot read them.
    """
    check_model(model_path)
    settings = run / EnvironmentName(env_id)
    _, noted = read_settings(settings, to_play=True)
    if noted and "env_kwargs" not in noted:  # which RL Zoo reads
        raise ValueError(f"{settings / 'args.yml'} has no env_kwargs: add `env_kwargs: null`")
    checkpoint = re.fullmatch(r"rl_model_(\d+)_steps", model_path.stem)
    kind = f"checkpoint-{checkpoint[1]}" if checkpoint else "final-model"
    kind = "best-model" if model_path.stem == "best_model" else kind
    found = f"{kind}-{ModelName(algo, EnvironmentName(env_id))}"
    get_model_path, algorithm = module.get_model_path, ALGOS[algo]
    module.get_model_path = lambda *_: (found, str(model_path), str(run))
    if device is not None:
        placed: Any = SimpleNamespace(load=partial(algorithm.load, device=device))
        ALGOS[algo] = placed
    try:
        yield
    finally:
        module.get_model_path, ALGOS[algo] = get_model_path, algorithm


def check_display() -> None:
    """Refuse to open a window without a display: SDL then draws off screen, in silence.

    :raises ValueError: where there is no display.
    """
    asked = os.environ.get("SDL_VIDEODRIVER")
    displays = ("DISPLAY", "WAYLAND_DISPLAY")
    problem = None
    if sys.platform not in ("win32", "darwin") and not asked and not any(map(os.getenv, displays)):
        problem = "DISPLAY and WAYLAND_DISPLAY are not set"
    elif importlib.util.find_spec("pygame") is not None:
        pygame = importlib.import_module("pygame")
        try:
            pygame.display.init()
            if not asked and pygame.display.get_driver() in ("offscreen", "dummy"):
                problem = "SDL cannot open the one that DISPLAY or WAYLAND_DISPLAY names"
            pygame.display.quit()
        except pygame.error as error:
            problem = str(error)
    if problem is not None:
        raise ValueError(
            f"there is no display ({problem}): take --no-render for the scores only, or make a"
            " video with the record command"
        )


@contextlib.contextmanager
def video_aside(folder: Path) -> Iterator[Path]:
    """Give a folder for a video that is not finished; what is in it at the end goes to ``folder``.

    :raises ValueError: if nothing can be written there.
    """
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as aside:
            with contextlib.redirect_stdout(_FinishedPaths(sys.stdout, Path(aside).name)):
                yield Path(aside)
            for video in sorted(Path(aside).iterdir()):
                os.replace(video, folder / video.name)
                print(f"video: {folder / video.name}")
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise ValueError(
            f"the video cannot be written into {folder} ({reason}): choose another folder with -o"
        ) from error
    finally:
        for one in made:  # the innermost first
            with contextlib.suppress(OSError):
                one.rmdir()  # if nothing came into it


class _FinishedPaths(io.TextIOBase):
    """Standard output that shows where files will be when they are finished.

    SB3 and MoviePy print the path that they write to.

    :param aside: name of the folder in which they are until then.
    """

    def __init__(self, stdout: TextIO, aside: str) -> None:
        self._stdout, self._aside = stdout, f"{aside}{os.sep}"

    def write(self, text: str) -> int:
        self._stdout.write(text.replace(self._aside, ""))
        return len(text)

    def flush(self) -> None:
        self._stdout.flush()


def run_record_video() -> dict[str, Any]:
    """Run RL Zoo's script on ``sys.argv``; return its variables.

    :raises KeyboardInterrupt: after Ctrl-C, upon which the script ends as if all were well.
    """
    interrupts = []

    def interrupt(number: int, frame: Any) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before != signal.SIG_IGN:  # of a job in the background
        signal.signal(signal.SIGINT, interrupt)
    try:
        variables = runpy.run_module("rl_zoo3.record_video", run_name="__main__")
    finally:
        signal.signal(signal.SIGINT, before)
    if interrupts:
        raise KeyboardInterrupt
    return variables
