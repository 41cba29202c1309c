"""SB3's log as a CSV file."""

from __future__ import annotations

from pathlib import Path

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import CSVOutputFormat
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_atari_course.q_learning import QLearning


class CsvLog(BaseCallback):
    """Writes what SB3 logs (loss, epsilon, mean score, ...) to ``progress.csv`` too.

    One row each time SB3 prints its table, and one at the end; ``time/total_timesteps`` counts
    agent steps. A second ``learn()`` with the same callback goes on in the same file.

    :param folder: where the file goes; made if missing.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.path = Path(folder) / "progress.csv"
        self._format: CSVOutputFormat | None = None
        self._last_row = 0  # agent steps

    def _on_training_start(self) -> None:
        if self._format is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._format = CSVOutputFormat(str(self.path))
        if self._format not in self.logger.output_formats:
            self.logger.output_formats.append(self._format)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        if self._format is None:  # RL Zoo ends trainings that never began, too
            return
        logs_at_any_time = isinstance(self.model, (OffPolicyAlgorithm, QLearning))
        if logs_at_any_time and self.num_timesteps > self._last_row:
            self.model.dump_logs()
        self._last_row = self.num_timesteps
