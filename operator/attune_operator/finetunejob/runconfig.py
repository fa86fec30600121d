"""The RunConfig of one attempt: what its pods are told. Pure."""

from datetime import datetime

from attune_contract.enums import Role
from attune_contract.runconfig import (
    CACHE_PATH,
    CREDENTIALS_PATH,
    CheckpointPlan,
    Credentials,
    RunConfig,
    RunIdentity,
    RuntimeFacts,
)
from attune_operator.api.finetunejob import Attempt, FineTuneJob
from attune_operator.api.tuningruntime import TuningRuntime
from attune_operator.finetunejob.budget import left
from attune_operator.finetunejob.grace import grace_seconds
from attune_operator.finetunejob.registering import with_champion, workload
from attune_operator.settings import Settings


def run_config(run: FineTuneJob, runtime: TuningRuntime, attempt: Attempt, settings: Settings) -> RunConfig:
    """Everything that the pods of an attempt need to know, except secrets."""
    spec, accelerator, price = run.spec, runtime.spec.accelerator, runtime.spec.price
    return RunConfig(
        run=RunIdentity(
            id=run.metadata.uid,
            name=run.metadata.name,
            namespace=run.metadata.namespace,
            stage=attempt.stage,
            attempt=attempt.number,
        ),
        workload=with_champion(workload(spec), attempt),
        runtime=RuntimeFacts(
            name=runtime.metadata.name,
            image=runtime.spec.image,
            trust_remote_code=runtime.spec.trust_remote_code,
            allowed_uris=tuple(runtime.spec.allowed_uris),
            cache_directory=CACHE_PATH if runtime.spec.cache else None,
            accelerator_memory=accelerator.memory,
            accelerator_tflops=accelerator.tflops,
            price_per_gpu_hour=price.per_gpu_hour,
            price_per_cpu_hour=price.per_cpu_hour,
            currency=price.currency,
        ),
        budget=spec.budget,
        credentials=credentials(run),
        facts=_facts(run),
        checkpoint=CheckpointPlan.of(spec.training.checkpoint),
        grace_seconds=grace_seconds(run, attempt.stage),
        deadline_seconds=_deadline(run, runtime, attempt, settings),
        inputs=tuple(a for a in run.status.artifacts if a.stage is not attempt.stage),
    )


def _deadline(run: FineTuneJob, runtime: TuningRuntime, attempt: Attempt, settings: Settings) -> float | None:
    """What the attempts before this one leave of the budget."""
    before = tuple(a for a in run.status.attempts if (a.stage, a.number) != (attempt.stage, attempt.number))
    began = datetime.fromisoformat(attempt.start_time)
    remaining = left(run, runtime, before, attempt.stage, now=began, settings=settings)
    return None if remaining is None else max(0.0, remaining)


def _facts(run: FineTuneJob) -> dict[str, str]:
    """What only the cluster knows and the manifest records: when the run began, and which images its stages ran."""
    images = {f"image{a.stage}": a.image for a in run.status.attempts if a.image}
    return {**images, **({"startTime": run.status.start_time} if run.status.start_time else {})}


def credentials(run: FineTuneJob) -> dict[Role, Credentials]:
    """Where each role's keys are mounted, for the roles that name a Secret."""
    spec = run.spec
    named = {
        Role.MODEL: (spec.model.credentials_secret, "spec.model.credentialsSecret"),
        Role.DATA: (spec.dataset.credentials_secret, "spec.dataset.credentialsSecret"),
        Role.OUTPUT: (spec.output.credentials_secret, "spec.output.credentialsSecret"),
    }
    return {
        role: Credentials(secret=secret, field=field, directory=f"{CREDENTIALS_PATH}/{role.value}")
        for role, (secret, field) in named.items()
        if secret
    }
