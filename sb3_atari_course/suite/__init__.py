"""Suites: many agents on many environments with several seeds, and the statistics of their scores.

- ``scores.py``            scores of evaluated run folders: tables, aggregates, CSV files
- ``reference_scores.py``  scores of random play and of a human in 57 Atari games
- ``statistics.py``        aggregate statistics with bootstrap intervals
- ``figures.py``           figures of scores, aggregates and performance profiles
- ``suite_report.py``      all files of a report, from the template ``suite_report.html``
"""
