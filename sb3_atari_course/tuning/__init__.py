"""Tuning that survives: Optuna's studies, RL Zoo's trainings, whole games as the score.

The way of a trial::

    hyperparams/spaces/*.yml, --param -> space.py   which parameters, which values
      -> study.py, sampler.py    Optuna's study: budget kept to the trial, seeds by number
      -> objective.py            one trial: a yml, a training as RL Zoo does it, whole games
         parameters.py, *places.py where a parameter stands in a yml; yml.py writes it
      -> worker.py, launcher.py  processes that may die at any moment
      -> storage.py              journal.py (one machine), database.py (many)
      -> report.py               the best yml, a table, Optuna's plots
"""
