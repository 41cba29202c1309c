"""What happens beside a training: logs, tables, films, and an early end."""

from sb3_atari_course.callbacks.csv_log import CsvLog

__all__ = ["CsvLog"]
