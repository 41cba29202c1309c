"""What happens to the parameters of a trial whose worker died: they are tried again, once."""

from __future__ import annotations

from optuna import Study
from optuna.storages import RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial

#: How often; what kills its worker again is given up.
MAX_RETRY = 1


def retry_dead_trial(study: Study, trial: FrozenTrial) -> None:
    """Queue the parameters of a dead trial again, without what its worker noted about itself."""
    trial.user_attrs = {}
    RetryHeartbeatStaleTrialCallback(max_retry=MAX_RETRY)(study, trial)
