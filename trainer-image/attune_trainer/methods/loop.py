"""The training loop that all methods share: transformers' Trainer, its settings, and what a training came to."""

import math
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import PrinterCallback, Trainer, TrainingArguments
from transformers.trainer_utils import EvalLoopOutput

from attune_contract.enums import Scheduler
from attune_contract.outcome import TrainingFigures
from attune_trainer.checkpointing.state import StateWriter, WholeState
from attune_trainer.data.encoding.base import IGNORED
from attune_trainer.data.encoding.supervised import Encoded
from attune_trainer.heart import ALLOWANCE, Heart
from attune_trainer.methods import batches, collate, sharding, watching
from attune_trainer.methods.base import Job, Loaded, Trained
from attune_trainer.methods.device import peak_memory
from attune_trainer.methods.divergence import Record
from attune_trainer.methods.loading import padding_id
from attune_trainer.methods.order import FillersLast
from attune_trainer.methods.reporting import Reporter, final_loss

SCHEDULERS = {Scheduler.COSINE: "cosine", Scheduler.LINEAR: "linear", Scheduler.CONSTANT: "constant_with_warmup"}
MAX_LOGGED = 1000
"""Points of a loss curve; beyond that each point is a mean over several steps."""
MAX_GRADIENT_NORM = 1.0
PATIENCE_AFTER_FAILURE = 20.0
"""Seconds for which a checkpoint that is on its way is waited for when training failed."""


class Counting:
    """What every Trainer here does beside: it counts tokens where masks do not tell, and tells nobody elsewhere.

    Its state is ours to put back (`checkpointing/state.py`), as transformers' own is a pickle.
    """

    record: Record | None = None
    state_writer: StateWriter = WholeState()
    heart: Heart = Heart(None)

    def training_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        """One micro-batch; what it learnt from is remembered until its loss is known to be good."""
        loss = super().training_step(*args, **kwargs)  # type: ignore[misc]  # of the Trainer beside
        if self.record is not None:
            self.record.learnt(self.state.global_step + 1, self.data_collator.waiting.popleft(), loss)
        return loss

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:  # noqa: ARG002 - theirs
        self.state_writer.put_weights(self, Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            self.state_writer.put_optimizer(self, Path(checkpoint))

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Later, when the first step begins: making its batch draws numbers too."""

    def _prepare_inputs(self, inputs: dict[str, Any]) -> Any:
        self.heart.beat()
        kept = {name: value for name, value in inputs.items() if name != collate.TOKENS}
        return super()._prepare_inputs(kept)  # type: ignore[misc]  # of the Trainer beside

    def _track_num_input_tokens(self: Any, inputs: dict[str, Any]) -> None:
        if collate.TOKENS not in inputs:
            super()._track_num_input_tokens(inputs)  # type: ignore[misc]
            return
        tokens = inputs[collate.TOKENS].sum().to(self.args.device)
        self.state.num_input_tokens_seen += int(self.accelerator.gather(tokens).sum())

    def floating_point_ops(self, _: dict[str, Any]) -> int:
        """Not counted: nobody asks, and it is wrong for adapters."""
        return 0

    def _send_telemetry(self) -> None:
        """TRL would tell its makers of every training; a user's cluster is nobody's business."""


class AttuneTrainer(Counting, Trainer):  # type: ignore[misc]  # transformers ships no types
    """Trains on rows with labels; the loss is divided by what `weigh` makes of them.

    Args:
        weigh: what the labels of a micro-batch count in all; None: one each.
    """

    def __init__(self, *args: Any, weigh: Callable[[torch.Tensor], torch.Tensor] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._weigh = weigh

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        rows = self.train_dataset if train_dataset is None else train_dataset
        if not rows.missing:
            return super()._get_train_sampler(train_dataset)
        return FillersLast(rows, rows.missing, self.args.data_seed)

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Any:
        if self._weigh is None:
            return super()._get_num_items_in_batch(batch_samples, device)
        total = sum((self._weigh(batch["labels"]) for batch in batch_samples), torch.zeros(())).to(device)
        return self.accelerator.gather(total).sum() if self.args.world_size > 1 else total

    def evaluation_loop(self, dataloader: Any, *_: Any, **__: Any) -> EvalLoopOutput:
        """The loss over other rows, each learnt token counting as it does in training: however they are batched."""
        self.model.eval()
        sums = torch.zeros(2, device=self.args.device)
        for batch in dataloader:
            inputs = self._prepare_inputs(batch)
            labels = inputs.pop("labels")
            items = (labels != IGNORED).sum() if self._weigh is None else self._weigh(labels)
            with torch.no_grad(), self.compute_loss_context_manager():
                loss = self.compute_loss_func(self.model(**inputs), labels, num_items_in_batch=items)
            if items > 0:
                sums += torch.stack([loss.float() * items, items.float()]).to(sums.device)
        if self.args.world_size > 1:
            sums = self.accelerator.gather(sums).view(-1, 2).sum(0)
        found = {"eval_loss": float(sums[0] / sums[1])}
        return EvalLoopOutput(predictions=None, label_ids=None, metrics=found, num_samples=len(dataloader.dataset))


def build(
    job: Job,
    loaded: Loaded,
    rows: Sequence[Encoded],
    watched: Sequence[Encoded] = (),
    *,
    collator: Any = None,
    loss: Any = None,
    weigh: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Trainer:
    """A Trainer over encoded rows, with the loss as a mean over learnt tokens of the whole batch.

    Args:
        job: the training.
        loaded: its model.
        rows: encoded; each has `input_ids`.
        watched: the same, of rows that are not learnt.
        collator: makes micro-batches; left out: rows are filled up at the end.
        loss: of (outputs, labels, num_items_in_batch); left out: `token_mean`.
        weigh: what the labels of a micro-batch count in all, which the loss is divided by; left out: one each.
    """
    batch = plan(job, max(len(row.input_ids) for row in chain(rows, watched)))
    padded = _padded(rows, batch)
    reporter = Reporter(job)
    trainer = AttuneTrainer(
        model=loaded.model,
        args=TrainingArguments(**arguments(job, loaded, batch, len(padded))),
        train_dataset=padded,
        data_collator=collator or collate.Collator(padding_id(loaded.tokenizer)),
        compute_loss_func=loss or token_mean,
        callbacks=[reporter],
        weigh=weigh,
    )
    trainer.remove_callback(PrinterCallback)  # the reporter says it
    watching.attach(job, trainer, _padded(watched, batch) if watched else None, reporter.stopwatch)
    return trainer


def _padded(rows: Sequence[Encoded], batch: batches.BatchPlan) -> collate.Rows:
    """Rows, and as many more from which nothing is learnt as make whole micro-batches for every process."""
    missing = batches.missing_rows(len(rows), batch)
    return collate.Rows(rows, missing, Encoded(rows[0].input_ids[:1], [IGNORED]) if missing else None)


def plan(job: Job, longest: int, *, least: int = 1) -> batches.BatchPlan:
    """How the batch is divided.

    Args:
        job: the training.
        longest: tokens of the longest example; of a pair, of both its sides.
        least: examples that a micro-batch must have.
    """
    tokens = batches.TOKENS_ON_GPU if job.device.is_gpu else batches.TOKENS_ON_CPU
    return batches.plan(job.work.training.batch_size, job.process.world_size, longest, tokens, least=least)


def run(job: Job, trainer: Trainer, **more: Any) -> Trained:
    """Trains to the end and sums up.

    Args:
        job: the training.
        trainer: what `build` made.
        more: what the method adds to the report's settings.

    Raises:
        DivergedError: the loss is no number any more.
        StoppedError: it stopped before its end, with a checkpoint.
    """
    reporter = next(c for c in trainer.callback_handler.callbacks if isinstance(c, Reporter))
    trainer.heart = job.heart
    state = job.keeper.attach(trainer) if job.keeper else None
    reporter.watch_over(trainer)
    try:
        trainer.train(resume_from_checkpoint=state)
    except BaseException:
        if job.keeper:
            job.keeper.finish(PATIENCE_AFTER_FAILURE)
        raise
    if job.keeper:
        job.keeper.finish()
    history = tuple(reporter.history)
    weights = list(trainer.model.parameters())
    speed, measured = reporter.stopwatch.mean(is_last=True)
    watched = watching.result(trainer)
    figures = TrainingFigures(
        steps=trainer.state.global_step,
        epochs=round(float(trainer.state.epoch or 0), 4),
        tokens=int(trainer.state.num_input_tokens_seen),
        train_loss=final_loss(history, trainer.state.global_step),
        validation_loss=watched.kept.loss if watched else None,
        seconds=round(reporter.seconds, 3),
        parameters=sum(map(size, weights)),
        trainable_parameters=sum(size(p) for p in weights if p.requires_grad),
        seconds_per_step=speed,
        measured_steps=measured,
        peak_memory_bytes=peak_memory(job.device),
    )
    return Trained(
        figures,
        history,
        _settings(job, trainer) | more,
        validation=watched.points if watched else (),
        step=watched.kept.step if watched else figures.steps,
        stopped_early=watched is not None and watched.stopped_early,
    )


def size(parameter: Any) -> int:
    """How many numbers a parameter holds; in 4-bit tensors two share a byte."""
    shape = getattr(getattr(parameter, "quant_state", None), "shape", None)
    return int(parameter.numel() if shape is None else math.prod(shape))


def token_mean(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """Cross-entropy of each next token, summed, over the number of learnt tokens in the whole optimizer step.

    Divided so, one long example counts as its tokens do, however the batch is cut into micro-batches. The same loss as
    transformers' `ForCausalLMLoss`, for every architecture.

    Args:
        outputs: of the model; `logits` is batch x length x vocabulary.
        labels: batch x length; IGNORED where nothing is learnt.
        num_items_in_batch: learnt tokens of all micro-batches and processes of the step; None counts these.
    """
    logits = outputs.logits[:, :-1].float()
    targets = labels[:, 1:].to(logits.device)
    total = cross_entropy(
        logits.reshape(-1, logits.size(-1)), targets.reshape(-1), ignore_index=IGNORED, reduction="sum"
    )
    items = (targets != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
    return total / (items.to(total.device) if torch.is_tensor(items) else items)


def arguments(job: Job, loaded: Loaded, batch: batches.BatchPlan, rows: int) -> dict[str, Any]:
    """Settings of the Trainer, the same for every method; TRL's configurations take them too."""
    training = job.work.training
    steps = batches.total_steps(training, rows)
    large = job.device.is_gpu and sum(map(size, loaded.model.parameters())) >= batches.LARGE
    return {
        "output_dir": str(job.folder / "trainer"),
        "per_device_train_batch_size": batch.micro,
        "per_device_eval_batch_size": batch.micro,
        "prediction_loss_only": True,
        "gradient_accumulation_steps": batch.accumulation,
        "num_train_epochs": training.epochs or 1,
        "max_steps": training.max_steps or -1,
        "learning_rate": training.peak_learning_rate(job.work.tuning.type),
        "lr_scheduler_type": SCHEDULERS[training.scheduler],
        "warmup_steps": math.ceil(training.warmup_ratio * steps),
        "weight_decay": training.weight_decay,
        "max_grad_norm": MAX_GRADIENT_NORM,
        "optim": "adamw_torch",
        "seed": training.seed,
        "data_seed": training.seed,
        "bf16": job.device.bf16,
        "use_cpu": not job.device.is_gpu,
        "activation_checkpointing": large,
        "activation_checkpointing_kwargs": {"use_reentrant": False},
        "ddp_find_unused_parameters": False,
        "ddp_timeout": int(ALLOWANCE),  # one may fetch the model, or save, for longer than the others
        "average_tokens_across_devices": True,
        "include_num_input_tokens_seen": "non_padding",
        "logging_steps": math.ceil(steps / MAX_LOGGED),
        "logging_nan_inf_filter": False,  # it would put the last good loss in the place of a bad one
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": job.device.is_gpu,
        **sharding.arguments(job),
    }


def _settings(job: Job, trainer: Trainer) -> dict[str, Any]:
    given = trainer.args
    return {
        "device": job.device.name.split(":", maxsplit=1)[0],
        "precision": "bfloat16" if job.device.bf16 else "float32",
        "processes": job.process.world_size,
        "sharded": sharding.is_spread(job),
        "microBatch": given.per_device_train_batch_size,
        "accumulation": given.gradient_accumulation_steps,
        "learningRate": given.learning_rate,
        "scheduler": job.work.training.scheduler.value,
        "warmupSteps": given.warmup_steps,
        "optimizer": "AdamW",
        "maxGradientNorm": MAX_GRADIENT_NORM,
        "activationCheckpointing": given.activation_checkpointing,
        "sequenceLength": job.sequence_length,
        "seed": given.seed,
        "threads": torch.get_num_threads(),
        "peakMemoryBytes": peak_memory(job.device),
    }
