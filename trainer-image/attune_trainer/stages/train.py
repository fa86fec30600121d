"""Train: from the rows that preflight accepted to one complete checkpoint."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attune_contract import layout
from attune_contract.outcome import Artifact, Outcome
from attune_trainer import checkpoints, digests, inputs, launch, models, results, support, versions
from attune_trainer.checkpointing import keeper as keeping
from attune_trainer.checkpointing import store
from attune_trainer.checkpointing.keeper import Keeper
from attune_trainer.checkpointing.uploader import PATIENCE
from attune_trainer.context import Context
from attune_trainer.data import canonical, leaks
from attune_trainer.distributed import Process
from attune_trainer.errors import StageError
from attune_trainer.methods import device, sharding
from attune_trainer.methods.base import Job, Step, Trained
from attune_trainer.methods.registry import METHODS
from attune_trainer.storage.retry import Retry


def run(context: Context) -> Outcome:
    """Trains, and leaves a checkpoint and the training report.

    Every process of a distributed training runs this; only the first writes.

    Raises:
        InvalidConfigurationError: no GPU where one is asked for, or a batch that cannot be divided.
        DigestMismatchError: the data or model is not what preflight saw.
        InvalidDataError: rows of test are among those to learn from.
        OutOfMemoryError, DivergedError: as they say.
        StoppedError: it stopped before its end, with a checkpoint.
    """
    support.demand(context.config)
    given = results.inputs_of(context.config, context.stage, context.run)
    key = results.key(context.config, context.stage, given)
    done = results.find(context.run, key, context.config.run.attempt)
    if done:
        context.log.info("this stage is complete already; its result is reported again")
        return done
    started, process = time.monotonic(), Process.of(context.environment)
    place = device.choose(context.config.workload.resources, process)
    base = inputs.base_model(context, given)
    data = _data(context, given)
    description = _describe(context, given, base)
    job = _job(context, process, place, base, data)
    keeper = Keeper(_plan(context, job, _identity(context, given, base), description, started))
    context.heart.allow("loading the model")
    folder = context.scratch / "checkpoint"
    trained = _train(replace(job, keeper=keeper), folder)
    if not process.is_first:
        return context.outcome("The first process reports.")
    return _finish(context, key, description, trained, folder)


def _plan(
    context: Context, job: Job, identity: store.Identity, description: dict[str, Any], started: float
) -> keeping.Plan:
    """How the training saves its state, stops, and goes on."""
    return keeping.Plan(
        config=context.config,
        run=context.run,
        identity=identity,
        description=description,
        process=job.process,
        stopper=context.stopper,
        board=context.board,
        heart=job.heart,
        scratch=context.scratch,
        shared=launch.shared(context.environment) or context.scratch,
        clock=job.clock,
        started=started,
    )


def _identity(context: Context, given: tuple[Artifact, ...], base: models.BaseModel) -> store.Identity:
    """What a checkpoint must have been made from to go on from it: all that changes what is learnt."""
    work = context.config.workload
    watched = inputs.find(given, layout.VALIDATION_DATA)
    configuration = {
        "method": work.method.value,
        "tuning": work.tuning.model_dump(mode="json"),
        "training": work.training.model_dump(mode="json", exclude={"checkpoint"}),
        "classification": work.resolved_classification().model_dump(mode="json"),
        "chatTemplate": work.model.chat_template,
        "trustRemoteCode": base.trust_remote_code,
    }
    data = {"train": inputs.demand(given, layout.TRAIN_DATA).digest, "validation": watched.digest if watched else None}
    return store.Identity(digests.of_json(configuration), digests.of_json(data), base.listing.digest)


@dataclass(frozen=True)
class _Data:
    """The canonical rows that training sees, fetched."""

    train: Path
    validation: Path | None


def _data(context: Context, given: tuple[Artifact, ...]) -> _Data:
    """Fetches the rows, and makes sure once more that none of test is among them.

    Raises:
        InvalidDataError: a row of test would be learnt, or would choose the weights.
    """
    work = context.config.workload
    train = context.run.fetch(inputs.demand(given, layout.TRAIN_DATA), context.scratch / "train.parquet")
    watched = inputs.find(given, layout.VALIDATION_DATA)
    if work.training.keep_best and watched is None:
        inputs.demand(given, layout.VALIDATION_DATA)
    validation = context.run.fetch(watched, context.scratch / "validation.parquet") if watched else None
    if not work.evaluation.allow_leakage:
        test = context.run.fetch(inputs.demand(given, layout.TEST_DATA), context.scratch / "test.parquet")
        leaks.refuse(test, [file for file in (train, validation) if file], canonical.kind_of(work.method))
    return _Data(train, validation)


def _train(job: Job, folder: Path) -> Trained:
    """The five steps of a method."""
    method = METHODS[job.work.method]
    loaded = method.load(job)
    job.heart.allow("preparing the rows")
    rows = method.prepare(job, loaded)
    watched = method.prepare(replace(job, train=job.validation), loaded) if job.validation else ()
    job.heart.allow("beginning to train")
    trainer = method.build(job, loaded, rows, watched)
    trained = method.train(job, trainer)
    job.heart.allow("saving the result")
    sharding.gather(loaded.model, is_first=job.process.is_first)
    if job.process.is_first:
        method.save(job, loaded, folder)
    _leave_group()
    return trained


def _leave_group() -> None:
    """Parts the processes in good order, before the first uploads for as long as that takes."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def _job(context: Context, process: Process, place: device.Device, base: models.BaseModel, data: _Data) -> Job:
    def report(step: Step) -> None:
        context.board.update(**progress_of(step))
        if process.is_first:
            context.log.info("step %d of %d: loss %.4f", step.step, step.total_steps, step.loss)

    return Job(
        work=context.config.workload,
        base=base,
        train=data.train,
        process=process,
        device=place,
        folder=context.scratch,
        on_step=report,
        clock=time.monotonic,
        validation=data.validation,
        heart=context.heart,
    )


def progress_of(step: Step) -> dict[str, Any]:
    """The fields of Progress that a logged step tells."""
    seconds = max(step.seconds, 1e-9)
    return {
        "step": step.step,
        "total_steps": step.total_steps,
        "epoch": round(step.epoch, 4),
        "loss": step.loss,
        "learning_rate": step.learning_rate,
        "tokens_per_second": round(step.tokens / seconds, 1),
        "eta_seconds": round(seconds / step.step * (step.total_steps - step.step), 1),
        "seconds_per_step": step.seconds_per_step,
        "measured_steps": step.measured_steps,
    }


def _describe(context: Context, given: tuple[Artifact, ...], base: models.BaseModel) -> dict[str, Any]:
    """What the checkpoint's weights were made from."""
    return {
        "model": {"source": base.listing.source, "revision": base.listing.revision, "digest": base.listing.digest},
        "data": inputs.demand(given, layout.TRAIN_DATA).digest,
        "method": context.config.workload.method.value,
        "tuning": context.config.workload.tuning.type.value,
        "seed": context.config.workload.training.seed,
        "versions": versions.packages(),
    }


def _finish(context: Context, key: str, description: dict[str, Any], trained: Trained, folder: Path) -> Outcome:
    """Uploads checkpoint and report, then marks the stage as complete; only then earlier checkpoints may go."""
    run = context.run_with(Retry(PATIENCE))
    checkpoint = checkpoints.write(run, folder, trained, description)
    report = run.put_json(layout.TRAINING_REPORT, _report(context, trained))
    outcome = context.outcome(_in_words(trained)).model_copy(
        update={
            "training": trained.figures,
            "artifacts": (checkpoint, report),
            "report_uri": run.uri(layout.TRAINING_REPORT),
            "resumed_from_step": context.board.read().resumed_from_step,
            "warnings": context.board.read().warnings,
        }
    )
    results.save(run, key, outcome)
    try:
        store.sweep(run, context.config.checkpoint.keep - 1, {trained.figures.steps})
    except StageError as error:
        context.log.warning("training is complete, but earlier checkpoints could not be removed: %s", error)
    return outcome


def _report(context: Context, trained: Trained) -> dict[str, Any]:
    return {
        "run": context.config.run.id,
        "figures": trained.figures.model_dump(mode="json"),
        "settings": trained.settings,
        "workload": context.config.workload.model_dump(mode="json", exclude_none=True),
        "versions": versions.packages(),
        "history": [
            {
                "step": step.step,
                "epoch": round(step.epoch, 4),
                "loss": step.loss,
                "learningRate": step.learning_rate,
                "tokens": step.tokens,
                "seconds": round(step.seconds, 3),
                **({} if step.margin is None else {"margin": step.margin}),
            }
            for step in trained.history
        ],
        "validation": [{"step": p.step, "epoch": p.epoch, "loss": p.loss} for p in trained.validation],
        "checkpointStep": trained.step,
        "resumedFromStep": context.board.read().resumed_from_step,
        "stoppedEarly": trained.stopped_early,
    }


def _in_words(trained: Trained) -> str:
    figures = trained.figures
    share = figures.trainable_parameters / figures.parameters
    first = trained.history[0].loss
    return (
        f"{figures.steps} steps over {figures.tokens} tokens in {figures.seconds:.0f} s: loss {first:.3f} at first, "
        f"{figures.train_loss:.3f} at the end{_validation(trained)}; {figures.trainable_parameters} parameters "
        f"trained, {share:.1%} of all."
    )


def _validation(trained: Trained) -> str:
    """What the validation rows said, for the sentence."""
    if not trained.validation:
        return ""
    early = ", which ended early as it got no better" if trained.stopped_early else ""
    return (
        f"{early}; {trained.figures.validation_loss:.3f} on the validation rows at step {trained.step}, which is kept"
    )
