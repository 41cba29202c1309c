"""Games as the training plays them, on video."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback

from sb3_atari_course._common.validation import explain_arguments, finite_number, integer_at_least
from sb3_atari_course.callbacks.run_folder import find_run_folder
from sb3_atari_course.callbacks.whole_games import WholeGames, refuse_in_event
from sb3_atari_course.envs.native import NativeAtariVecEnv
from sb3_atari_course.report.video import VideoWriter


class RecordVideo(BaseCallback):
    """Films whole games of the first environment while the training plays them.

    Game 0 of that environment and every ``every_games``-th one are filmed through all their lives,
    exploration included, and kept as ``game_000120_score_23.mp4`` (number, true score). No step is
    played for it. The screen is taken once an agent step; the last one of a game is missing, since
    SB3's environments begin the next game in the same step. A game that is not over when the
    training ends leaves no file. Native games show what the agent sees: small and grey.

    :param every_games: games of the first environment from one film to the next.
    :param folder: where the films go; by default ``videos`` in the run folder of RL Zoo, in the
        folder of the log or the best model of your own script, or else in the working folder.
    :param keep: how many of these films are kept, the newest ones.
    :param fps: frames per second of the video: 15 is real time for an Atari game of 4 emulator
        frames a step.
    :raises TypeError: for a number that is none.
    :raises ValueError: for a number that is not positive; when the training begins, for
        environments that were not made with ``render_mode="rgb_array"``, if no Monitor counts
        whole games, and inside of a callback that does not call this one at each step.
    """

    @explain_arguments
    def __init__(
        self,
        every_games: int,
        *,
        folder: str | Path | None = None,
        keep: int = 1,
        fps: float = 30,
    ) -> None:
        super().__init__()
        self.every_games = integer_at_least(1, "every_games", every_games)
        self.folder = None if folder is None else Path(folder)
        self.keep = integer_at_least(1, "keep", keep)
        self.fps = finite_number("fps", fps)
        if self.fps <= 0:
            raise ValueError(f"fps must be positive, got {fps}")
        #: Films that are there, the oldest first.
        self.paths: list[Path] = []
        self._number = 0  # of the game that env 0 plays
        self._film: VideoWriter | None = None
        self._games = WholeGames()

    def _init_callback(self) -> None:
        refuse_in_event(self)

    def _on_training_start(self) -> None:
        self._check_render_mode()
        if self._games.begin(self):
            self._number = 0
        self._discard()  # of a training that was interrupted
        if self._games.is_at_start(0):
            self._begin_if_due()
        self._take()

    def _on_step(self) -> bool:
        for game in self._games.finished(self):
            if game.env == 0:
                self._keep(game.score)
                self._number += 1
        if self._games.is_at_start(0):
            self._begin_if_due()
        self._take()
        return True

    def _on_training_end(self) -> None:
        self._discard()

    def checkpoint_state(self) -> Any:
        """Return what changes while training; a film that is being taken is not in it."""
        return {
            "paths": [str(path) for path in self.paths],
            "number": self._number,
            "games": self._games.checkpoint_state(),
        }

    def restore_checkpoint_state(self, state: Any) -> None:
        """Go on with the games; the one that is being played is not filmed."""
        self.paths = [Path(path) for path in state["paths"]]
        self._number = state["number"]
        self._games.restore_checkpoint_state(state["games"])
        self._discard()

    def _check_render_mode(self) -> None:
        if self.training_env.render_mode != "rgb_array":
            raise ValueError(
                "filming a training needs environments made with render_mode='rgb_array', got"
                f" {self.training_env.render_mode!r}: gym.make(..., render_mode='rgb_array') or"
                " make_vec_env(..., env_kwargs={'render_mode': 'rgb_array'}); RL Zoo:"
                " --env-kwargs \"render_mode:'rgb_array'\", or render_mode: rgb_array in env_kwargs"
                " of the yml"
            )

    def _begin_if_due(self) -> None:
        if self._number % self.every_games == 0:
            folder = self.folder or (find_run_folder(self) or Path()) / "videos"
            self._film = VideoWriter(folder / f"game_{self._number:06}.mp4", fps=self.fps)

    def _take(self) -> None:
        """Add the screen to the film, if there is one."""
        if self._film is not None:
            self._film.add(self._screen())

    def _screen(self) -> NDArray[np.uint8]:
        """Return the screen of the first environment, (H, W, 3) or (H, W) uint8."""
        env = self.training_env
        if isinstance(env.unwrapped, NativeAtariVecEnv):  # no Python objects to call
            screen: Any = env.get_images()[0]
        else:
            (screen,) = env.env_method("render", indices=[0])
        return np.asarray(screen)

    def _keep(self, score: float) -> None:
        """Finish the film, if there is one, and name it; delete those that are too many."""
        if self._film is None:
            return
        film, self._film = self._film, None
        film.close()
        path = film.path.with_name(f"{film.path.stem}_score_{score:g}.mp4")
        os.replace(film.path, path)
        self.paths = [*(other for other in self.paths if other != path), path]
        for old in self.paths[: -self.keep]:
            old.unlink(missing_ok=True)
        self.paths = self.paths[-self.keep :]

    def _discard(self) -> None:
        if self._film is not None:
            self._film.discard()
            self._film = None
