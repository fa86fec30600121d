"""What became of the Job of a look: at training data, or at published versions; read afresh from the API server."""

from dataclasses import dataclass
from datetime import datetime

from attune_operator.api.finetunejob import Attempt
from attune_operator.api.meta import ObjectMeta
from attune_operator.cluster import observe
from attune_operator.cluster.client import Kube, path_to
from attune_operator.cluster.kueue import Kueue
from attune_operator.cluster.objects import is_ours
from attune_operator.cluster.warnings import Warnings
from attune_operator.finetunejob.looking import look_view
from attune_operator.finetunejob.snapshot import JobState, LookView
from attune_operator.finetunejob.views import job_view, pod_view
from attune_operator.naming import JOB_NAME_LABEL


@dataclass(frozen=True)
class Looks:
    """Reads Jobs of one pod, and why they do not start."""

    client: Kube
    warnings: Warnings
    kueue: Kueue

    async def view(self, owner: ObjectMeta, attempt: Attempt, now: datetime) -> LookView | None:
        """The Job of a look; None where it is not there, or somebody else's.

        Args:
            owner: whose look it is.
            attempt: the look, as its pod was told of it.
            now: the time.
        """
        found = await observe.job(self.client, owner.namespace, attempt.job_name)
        if found is None or not is_ours(found, owner.uid):
            return None
        job = job_view(found)
        path = path_to("v1", "pods", owner.namespace, labelSelector=f"{JOB_NAME_LABEL}={attempt.job_name}")
        pods = tuple(pod_view(p) for p in (await self.client.get(path))["items"] if is_ours(p, job.uid))
        warned = await self.warnings.of_start(owner.namespace, job, pods, now)
        held = job.state is JobState.SUSPENDED
        queue = await self.kueue.about(owner.namespace, found, "") if held else None
        return look_view(attempt, job, pods, warned, queue)
