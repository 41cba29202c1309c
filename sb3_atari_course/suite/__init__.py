"""Suites: many algorithms, environments and seeds, with statistics over the seeds.

- ``suite_file.py``: the settings of all runs, from a yml file or from flags
- ``suite_folder.py``: the folder of a suite: settings, states of its runs
- ``run_job.py``: training, resuming and evaluating one run, on any node
- ``suite_runner.py``: all runs on a Ray cluster: restarts, progress, interruption
- ``scores.py``: scores of evaluated run folders: tables, aggregates, CSV files
- ``reference_scores.py``: scores of random play and of a human in 57 Atari games
- ``statistics.py``: aggregate statistics with bootstrap intervals
- ``suite_report.py``, ``figures.py``: report, from the template ``suite_report.html``
"""
