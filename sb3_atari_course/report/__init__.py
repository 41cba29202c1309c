"""Pictures and reports: the learning curve of a run, seeds and runs compared, the pipeline.

run folder -> run_data.py (its curves), run_facts.py (what was run, its scores)
           -> run.py, comparison.py (groups.py, averages.py)        figures and PNG
           -> report.py (page.py, sections.py, tables.py, svg.py)   one HTML file
lists of numbers -> episodes.py; a screen -> pipeline.py; ``plot`` is command.py
"""

from sb3_atari_course.report.comparison import plot_comparison
from sb3_atari_course.report.episodes import plot_episodes
from sb3_atari_course.report.pipeline import plot_pipeline
from sb3_atari_course.report.report import write_comparison_report, write_report
from sb3_atari_course.report.run import plot_run

__all__ = [
    "plot_comparison",
    "plot_episodes",
    "plot_pipeline",
    "plot_run",
    "write_comparison_report",
    "write_report",
]
