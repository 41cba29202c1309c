"""Fault-tolerant tuning: Optuna's studies, RL Zoo's trainings, whole games as the score.

The way of a trial::

    hyperparams/spaces/*.yml, --param -> space.py   which parameters, where in a yml, which values
      -> study.py        Optuna's study: its settings, its budget, its sampler, seeds by number
      -> trial.py        one trial: a yml, a training as RL Zoo does it, whole games
      -> workers.py      processes that may die at any moment, and their launcher
      -> storage.py      a journal file (one machine) or a database (many)
      -> search.py       the command: from its flags to the best yml, a table, Optuna's plots
"""

#: Samplers and pruners; here for the command line, which shows them without importing more.
SAMPLERS = ("tpe", "random")
PRUNERS = ("median", "none")

#: Seconds of silence after which a worker on a database counts as dead.
GRACE_PERIOD = 60
