"""SB3's log as a CSV file."""

from __future__ import annotations

import contextlib
import csv
import os
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import CSVOutputFormat, KVWriter, filter_excluded_keys

from sb3_atari_course._common.validation import explain_arguments
from sb3_atari_course.callbacks.whole_games import refuse_in_event


class CsvLog(BaseCallback):
    """Writes what SB3 logs (loss, epsilon, mean score, ...) to ``progress.csv`` too.

    One row each time SB3 prints its table, and one at the end of each ``learn()``, with what an
    on-policy algorithm logs after its last table; ``time/total_timesteps`` counts agent steps. A
    second ``learn()`` with the same callback continues the same file. Where SB3's own CSV logger,
    or another CsvLog, writes that file already, this one only adds the row at the end.

    :param folder: where the file goes; made if missing.
    :raises ValueError: when the training begins, inside of EveryNTimesteps, EvalCallback and other
        callbacks that do not call this one at the end.
    :raises TypeError: for an unknown argument.
    """

    @explain_arguments
    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.path = Path(folder) / "progress.csv"
        self._format: LogTable | None = None
        self._append = False  # continues a file of another process, or of SB3's logger
        self._begun_at: int | None = None  # agent steps

    def _init_callback(self) -> None:
        refuse_in_event(self)

    def _on_training_start(self) -> None:
        refuse_in_event(self)
        self._begun_at = self.num_timesteps
        formats = self.logger.output_formats
        if any(_writes_to(one, self.path) for one in formats):
            self._append = True  # two tables would write into each other's columns
            return
        if self._format is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._format = LogTable(str(self.path), append=self._append)
        formats.append(self._format)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        # RL Zoo ends trainings that never began, too
        if self._begun_at is not None and self.num_timesteps != self._begun_at:
            self._begun_at = self.num_timesteps
            with contextlib.suppress(NotImplementedError):  # SB3's default: nothing to log
                self.model.dump_logs()

    def checkpoint_state(self) -> Any:
        """Return nothing: the file itself is cut and kept by its rows."""
        return {}

    def restore_checkpoint_state(self, state: Any) -> None:
        """Go on with the file that is there."""
        self._append = True


def _writes_to(one: KVWriter, path: Path) -> bool:
    return isinstance(one, CSVOutputFormat) and Path(one.file.name).resolve() == path.resolve()


class LogTable(CSVOutputFormat):
    """SB3's CSV format with a file that is closed between two rows, and never half rewritten.

    New columns go into a file aside that replaces it. Each row goes under the columns that the
    file has by then, also if another logger wrote it.

    :param filename: where the table goes.
    :param append: go on with the table that is there.
    """

    def __init__(self, filename: str, *, append: bool = False) -> None:
        if append and os.path.isfile(filename):
            self.separator, self.quotechar = ",", '"'
            with open(filename, newline="") as self.file:
                self.keys = next(csv.reader(self.file), [])
        else:
            super().__init__(filename)
            self.file.close()

    def write(
        self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0
    ) -> None:
        """Write one row, and the names of new columns before it."""
        values = filter_excluded_keys(key_values, key_excluded, "csv")
        with open(self.file.name, "a+", newline="") as file:
            file.seek(0)  # another log may have written other columns since, or removed the file
            self.keys = next(csv.reader(file), [])
        new = [key for key in values if key not in self.keys]
        if new:
            self._add_columns(new)
        with open(self.file.name, "a", newline="") as self.file:
            super().write(key_values, key_excluded, step)

    def _add_columns(self, names: list[str]) -> None:
        """Write the table with more columns, empty in the rows so far."""
        path = self.file.name
        with open(path, newline="") as file:
            rows = list(csv.reader(file))[1:]
        self.keys += names
        aside = f"{path}.part"
        with open(aside, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.keys)
            writer.writerows([*row, *[""] * (len(self.keys) - len(row))] for row in rows)
        os.replace(aside, path)
