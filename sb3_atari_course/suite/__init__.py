"""Suites: many algorithms, environments and seeds, with statistics over the seeds.

- ``suite_file.py``: the settings of all runs, from a yml file or from flags
- ``suite_folder.py``: the folder of a suite: settings, states of its runs
- ``run_job.py``: training, resuming and evaluating one run, on any node
- ``suite_runner.py``: all runs on a Ray cluster: restarts, progress, interruption
- ``statistics.py``, ``reference_scores.py``: aggregate scores with intervals
- ``suite_report.py``, ``figures.py``: tables, figures and HTML report
"""
