"""Figures, HTML reports and videos of runs.

- ``run_data.py``     data of a run folder: curves, settings, scores, files
- ``curves.py``       figures of one run, of several compared, of episodes
- ``html_report.py``  one HTML file of a run or a comparison, from the template ``report.html``
- ``html_page.py``    the page itself: template ``page.html``, embedded figures
- ``video.py``        recording of games, MP4 files
"""

from sb3_atari_course.report.curves import plot_comparison, plot_episodes, plot_run
from sb3_atari_course.report.html_report import write_comparison_report, write_report

__all__ = [
    "plot_comparison",
    "plot_episodes",
    "plot_run",
    "write_comparison_report",
    "write_report",
]
