"""The training loop that all methods share: transformers' Trainer, its settings, and what is reported of each step."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from attune_contract.enums import Scheduler
from attune_contract.outcome import TrainingFigures
from attune_trainer.data.encoding import IGNORED, Encoded
from attune_trainer.errors import DivergedError
from attune_trainer.methods import batches
from attune_trainer.methods.base import Job, Loaded, Step, Trained
from attune_trainer.methods.device import peak_memory
from attune_trainer.methods.loading import padding_id

SCHEDULERS = {Scheduler.COSINE: "cosine", Scheduler.LINEAR: "linear", Scheduler.CONSTANT: "constant_with_warmup"}
MAX_LOGGED = 1000
"""Points of a loss curve; beyond that each point is a mean over several steps."""
MAX_GRADIENT_NORM = 1.0
LARGE = 1_000_000_000
"""Parameters from which activations are computed again instead of kept."""


def build(job: Job, loaded: Loaded, rows: Sequence[Encoded]) -> Trainer:
    """A Trainer over encoded rows, with the loss as a mean over learnt tokens of the whole batch."""
    longest = max(len(row.input_ids) for row in rows)
    tokens = batches.TOKENS_ON_GPU if job.device.is_gpu else batches.TOKENS_ON_CPU
    batch = batches.plan(job.work.training.batch_size, job.process.world_size, longest, tokens)
    padded = _Rows(rows, batches.missing_rows(len(rows), batch))
    arguments = _arguments(job, loaded, batch, len(padded))
    trainer = Trainer(
        model=loaded.model,
        args=arguments,
        train_dataset=padded,
        data_collator=Collator(padding_id(loaded.tokenizer)),
        compute_loss_func=token_mean,
        callbacks=[_Reporter(job)],
    )
    trainer.remove_callback(PrinterCallback)  # the reporter says it
    return trainer


def run(job: Job, trainer: Trainer) -> Trained:
    """Trains to the end and sums up.

    Raises:
        DivergedError: the loss is no number any more.
    """
    reporter = next(c for c in trainer.callback_handler.callbacks if isinstance(c, _Reporter))
    started = job.clock()
    trainer.train()
    history = tuple(reporter.history)
    weights = list(trainer.model.parameters())
    figures = TrainingFigures(
        steps=trainer.state.global_step,
        epochs=round(float(trainer.state.epoch or 0), 4),
        tokens=int(trainer.state.num_input_tokens_seen),
        train_loss=final_loss(history, trainer.state.global_step),
        seconds=round(job.clock() - started, 3),
        parameters=sum(p.numel() for p in weights),
        trainable_parameters=sum(p.numel() for p in weights if p.requires_grad),
    )
    return Trained(figures, history, _settings(job, trainer))


def final_loss(history: Sequence[Step], steps: int) -> float:
    """Mean loss over the last tenth of the steps."""
    tail = [s.loss for s in history if s.step > steps - max(1, steps // 10)] or [history[-1].loss]
    return sum(tail) / len(tail)


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


class Collator:
    """Fills the rows of a micro-batch up to its longest, at the end.

    Args:
        padding: a token id; masked, so any.
    """

    def __init__(self, padding: int) -> None:
        self._padding = padding

    def __call__(self, rows: list[Encoded]) -> dict[str, torch.Tensor]:
        """Tensors of batch x longest: input_ids, attention_mask, labels."""
        longest = max(len(row.input_ids) for row in rows)

        def filled(values: Callable[[Encoded], list[int]], fill: int) -> torch.Tensor:
            return torch.tensor([values(row) + [fill] * (longest - len(row.input_ids)) for row in rows])

        return {
            "input_ids": filled(lambda row: row.input_ids, self._padding),
            "attention_mask": filled(lambda row: [1] * len(row.input_ids), 0),
            "labels": filled(lambda row: row.labels, IGNORED),
        }


class _Rows(torch.utils.data.Dataset[Encoded]):  # type: ignore[misc]  # torch is not followed
    """Rows, and after them as many as are missing: of one token, from which nothing is learnt."""

    def __init__(self, rows: Sequence[Encoded], missing: int) -> None:
        self._rows = rows
        self._missing = missing
        self._filler = Encoded(rows[0].input_ids[:1], [IGNORED])

    def __len__(self) -> int:
        return len(self._rows) + self._missing

    def __getitem__(self, index: int) -> Encoded:
        return self._rows[index] if index < len(self._rows) else self._filler


class _Reporter(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Turns the Trainer's log entries into steps, and ends a training whose loss is no number."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._started = job.clock()
        self.history: list[Step] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._started = self._job.clock()

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, Any], **_: Any) -> None:
        if "loss" not in logs:  # the summary at the end
            return
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            rate = self._job.work.training.peak_learning_rate(self._job.work.tuning.type)
            raise DivergedError(
                f"The loss became {loss} at step {state.global_step} of {state.max_steps}. Lower "
                f"training.learningRate (now {rate:g}) or raise training.warmupRatio."
            )
        step = Step(
            step=state.global_step,
            total_steps=state.max_steps,
            epoch=float(state.epoch or 0),
            loss=loss,
            learning_rate=float(logs.get("learning_rate", 0)),
            tokens=int(state.num_input_tokens_seen),
            seconds=self._job.clock() - self._started,
        )
        self.history.append(step)
        self._job.on_step(step)


def _arguments(job: Job, loaded: Loaded, batch: batches.BatchPlan, rows: int) -> TrainingArguments:
    training = job.work.training
    large = sum(p.numel() for p in loaded.model.parameters()) >= LARGE
    return TrainingArguments(
        output_dir=str(job.folder / "trainer"),
        per_device_train_batch_size=batch.micro,
        gradient_accumulation_steps=batch.accumulation,
        num_train_epochs=training.epochs or 1,
        max_steps=training.max_steps or -1,
        learning_rate=training.peak_learning_rate(job.work.tuning.type),
        lr_scheduler_type=SCHEDULERS[training.scheduler],
        warmup_steps=math.ceil(training.warmup_ratio * total_steps(job, rows)),
        weight_decay=training.weight_decay,
        max_grad_norm=MAX_GRADIENT_NORM,
        optim="adamw_torch",
        seed=training.seed,
        data_seed=training.seed,
        bf16=job.device.bf16,
        use_cpu=not job.device.is_gpu,
        activation_checkpointing=job.device.is_gpu and large,
        activation_checkpointing_kwargs={"use_reentrant": False},
        ddp_find_unused_parameters=False,
        average_tokens_across_devices=True,
        include_num_input_tokens_seen="non_padding",
        logging_steps=math.ceil(total_steps(job, rows) / MAX_LOGGED),
        logging_nan_inf_filter=False,  # it would put the last good loss in the place of a bad one
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=job.device.is_gpu,
    )


def total_steps(job: Job, rows: int) -> int:
    """Optimizer steps of the whole training, as the Trainer counts them: the last one of an epoch may be smaller."""
    training = job.work.training
    per_epoch = math.ceil(rows / training.batch_size)
    return training.max_steps or math.ceil((training.epochs or 1) * per_epoch)


def _settings(job: Job, trainer: Trainer) -> dict[str, Any]:
    arguments = trainer.args
    return {
        "device": job.device.name.split(":", maxsplit=1)[0],
        "precision": "bfloat16" if job.device.bf16 else "float32",
        "processes": job.process.world_size,
        "microBatch": arguments.per_device_train_batch_size,
        "accumulation": arguments.gradient_accumulation_steps,
        "learningRate": arguments.learning_rate,
        "scheduler": job.work.training.scheduler.value,
        "warmupSteps": arguments.warmup_steps,
        "optimizer": "AdamW",
        "maxGradientNorm": MAX_GRADIENT_NORM,
        "activationCheckpointing": arguments.activation_checkpointing,
        "sequenceLength": job.sequence_length,
        "seed": arguments.seed,
        "threads": torch.get_num_threads(),
        "peakMemoryBytes": peak_memory(job.device),
    }
