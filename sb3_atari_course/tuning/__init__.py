"""Fault-tolerant hyperparameter tuning with Optuna: trials are trained by RL Zoo.

The objective is the mean score of full games. Modules, from the search space to the command::

    hyperparams/spaces/*.yml, --param -> space.py   parameters, their path in a yml, their values
      -> study.py        Optuna study: settings, budget, sampler, seeds per trial
      -> trial.py        one trial: a yml, a run of RL Zoo, its evaluation
      -> workers.py      worker processes that may be killed at any time, and their launcher
      -> storage.py      a journal file (one machine) or a database (many)
      -> search.py       command ``tune``: writes best.yml, trials.csv and Optuna's plots
"""

#: Samplers and pruners; defined here so that ``--help`` does not import Optuna.
SAMPLERS = ("tpe", "random")
PRUNERS = ("median", "none")

#: Seconds without a heartbeat after which a worker on a database counts as dead.
GRACE_PERIOD = 60
