"""Each game's score, length and time as SB3's Monitor tells and writes them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from stable_baselines3.common.monitor import Monitor, ResultsWriter


class MonitorFiles:
    """Returns ``info["episode"]`` of a game that is over; writes ``{i}.monitor.csv``, if asked to.

    :param folder: where the files are written, None for none.
    :param n_envs: number of games played side by side: one file each.
    :param env_id: for their headers.
    :param append: go on with the files that are there.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        n_envs: int,
        env_id: str,
        *,
        append: bool = False,
    ) -> None:
        self._start = time.time()
        self._writers: list[ResultsWriter] = []
        if folder is not None:
            Path(folder).mkdir(parents=True, exist_ok=True)
            header: dict[str, float | str] = {"t_start": self._start, "env_id": env_id}
            self._writers = [
                ResultsWriter(
                    str(Path(folder) / f"{i}.{Monitor.EXT}"),
                    header=header,
                    override_existing=not append,
                )
                for i in range(n_envs)
            ]

    def episode(self, i: int, score: float, length: int) -> dict[str, float]:
        """Return Monitor's r, l, t of a game that is over, after writing them.

        :param i: which environment played it.
        :param score: unclipped.
        :param length: in frames (in steps of an id that skips by itself).
        """
        row = {"r": float(score), "l": length, "t": round(time.time() - self._start, 6)}
        if self._writers:
            self._writers[i].write_row(row)
        return row

    def close(self) -> None:
        """Close the files."""
        for writer in self._writers:
            writer.close()
        self._writers = []
