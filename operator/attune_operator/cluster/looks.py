"""What became of the Job of a look: at training data, or at published versions; read afresh from the API server."""

from dataclasses import dataclass
from datetime import datetime

from attune_contract.outcome import Outcome
from attune_operator.api.meta import ObjectMeta
from attune_operator.cluster import observe
from attune_operator.cluster.client import Kube, path_to
from attune_operator.cluster.objects import is_ours
from attune_operator.cluster.warnings import Warnings
from attune_operator.finetunejob.masking import masked
from attune_operator.finetunejob.snapshot import JobState, LookView
from attune_operator.finetunejob.views import job_view, pod_view
from attune_operator.finetunejob.waiting import why_waiting
from attune_operator.naming import JOB_NAME_LABEL


@dataclass(frozen=True)
class Looks:
    """Reads Jobs of one pod, and why they do not start."""

    client: Kube
    warnings: Warnings

    async def view(self, owner: ObjectMeta, name: str, now: datetime) -> LookView | None:
        """The Job of a look; None where it is not there, or somebody else's.

        Args:
            owner: whose look it is.
            name: of the Job.
            now: the time.
        """
        found = await observe.job(self.client, owner.namespace, name)
        if found is None or not is_ours(found, owner.uid):
            return None
        job = job_view(found)
        path = path_to("v1", "pods", owner.namespace, labelSelector=f"{JOB_NAME_LABEL}={name}")
        pods = tuple(pod_view(p) for p in (await self.client.get(path))["items"] if is_ours(p, job.uid))
        if not job.over:
            hold = why_waiting(job, pods, await self.warnings.of_start(owner.namespace, job, pods, now))
            return LookView(over=False, queued=job.state is JobState.SUSPENDED, waits=hold.message if hold else "")
        outcome = next((o for p in pods if (o := Outcome.loads(p.termination_message))), None)
        said = next((p.termination_message for p in pods if p.termination_message), "") or job.disrupted or job.failure
        return LookView(over=True, outcome=outcome, words=masked(said.strip()[-500:]))
