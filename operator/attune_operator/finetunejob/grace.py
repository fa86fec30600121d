"""How long pods have between SIGTERM and SIGKILL. Pure."""

import math

from attune_contract.enums import Stage
from attune_operator.api.finetunejob import FineTuneJob

SHORTEST = 30
"""Enough for an Outcome; what a pod that never checkpoints gets, which is Kubernetes' own default."""
UNMEASURED = 120
"""What training gets while nobody has seen how long a checkpoint takes."""
LONGEST = 3600
TIMES = 2.0
"""Times a measured checkpoint: the store is at its slowest when a whole node is drained."""


def grace_seconds(run: FineTuneJob, stage: Stage) -> int:
    """`terminationGracePeriodSeconds` of the pods of a stage.

    Of training it is set from how long its checkpoints took so far, as its pods reported it, for it ends with one.
    """
    if stage is not Stage.TRAIN:
        return SHORTEST
    progress = run.status.progress
    measured = progress.checkpoint_seconds if progress else None
    if measured is None:
        return UNMEASURED
    return min(LONGEST, SHORTEST + math.ceil(TIMES * measured))
