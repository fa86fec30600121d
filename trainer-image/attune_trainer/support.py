"""What this version acts on. A field that nobody acts on is refused with its path, never silently passed over."""

from collections.abc import Callable, Iterator

from attune_contract import uris
from attune_contract.abilities import CAN_BE_PROMPTED, HAS_BETA, PACKS, formats_of, metrics_of
from attune_contract.enums import DataFormat, Method, MetricName, OutputFormat, Stage, TuningType
from attune_contract.runconfig import RunConfig
from attune_contract.spec import Workload
from attune_trainer.errors import InvalidConfigurationError

BASE, TUNED, CHAMPION = "base", "tuned", "champion"


def demand(config: RunConfig) -> None:
    """Refuses what cannot be done, all of it at once.

    Raises:
        InvalidConfigurationError: with one sentence for each field.
    """
    refusals = [sentence for check in _CHECKS for sentence in check(config.workload)]
    refusals += [*_over(config), *_outside(config)]
    if refusals:
        raise InvalidConfigurationError(" ".join(refusals))


def _metrics(work: Workload) -> Iterator[str]:
    """Metrics that the method does not have."""
    known = metrics_of(work.method).known
    for i, metric in enumerate(work.evaluation.metrics or ()):
        if metric.name not in known:
            yield (
                f"spec.evaluation.metrics[{i}]: {metric.name.value} is not measured for {work.method.value} in this "
                f"version; use {', '.join(sorted(known))}."
            )


def _settings(work: Workload) -> Iterator[str]:
    """Metrics without what they need, or with what is another's; a metric that is there twice."""
    asked = work.evaluation.metrics or ()
    for i, metric in enumerate(asked):
        where = f"spec.evaluation.metrics[{i}]"
        if metric.schema_ is not None and metric.name is not MetricName.JSON_VALID:
            yield f"{where}.schema belongs to JSONValid; leave it out."
        for name, field, value in (
            (MetricName.REGEX_MATCH, "pattern", metric.pattern),
            (MetricName.HUMAN_PREFERENCE, "ratings", metric.ratings),
        ):
            if (metric.name is name) is not (value is not None):
                yield f"{where}.{field} belongs to {name.value}, which needs it."
    names = [metric.name for metric in asked]
    yield from (f"spec.evaluation.metrics: {n.value} may be there once only." for n in set(names) if names.count(n) > 1)


def _baselines(work: Workload) -> Iterator[str]:
    """Baselines that are not what they are called, or that the method cannot have."""
    asked = work.evaluation.baselines
    for i, baseline in enumerate(asked):
        where = f"spec.evaluation.baselines[{i}]"
        prompted = baseline.system_prompt is not None or bool(baseline.few_shot)
        if (baseline.name == BASE) is (prompted or baseline.source is not None):
            yield (
                f"{where}: {baseline.name} must be base, which is the model as it is, or have another name and a "
                "source, a systemPrompt or a fewShot above 0."
            )
        if baseline.name == TUNED:
            yield f"{where}.name must not be tuned: that is the model that it is compared with."
        if prompted and work.method not in CAN_BE_PROMPTED:
            yield f"{where}: {work.method.value} has no prompts that a systemPrompt or examples could go before."
        if prompted and work.has_head:
            yield f"{where}: a model with classification.style Head cannot be prompted; leave {baseline.name} out."
    names = [baseline.name for baseline in asked]
    yield from (f"spec.evaluation.baselines: {n} may be there once only." for n in set(names) if names.count(n) > 1)


def _gate(work: Workload) -> Iterator[str]:
    """Requirements on what is not evaluated, or without a bar; forgetting of what reads no text."""
    evaluation = work.evaluation
    measured = {metric.name for metric in evaluation.resolved_metrics(work.method)}
    for i, r in enumerate(evaluation.gate.require if evaluation.gate else ()):
        where = f"spec.evaluation.gate.require[{i}]"
        if r.metric not in measured:
            yield f"{where}.metric: {r.metric.value} is not among spec.evaluation.metrics; add it there."
        if r.minimum is None and r.min_improvement is None and r.max_regression is None:
            yield f"{where} sets no bar: give minimum, minImprovement or maxRegression."
    if evaluation.forgetting is not None and work.has_head:
        yield "spec.evaluation.forgetting: a model with classification.style Head reads no general text; leave it out."


def _over(config: RunConfig) -> Iterator[str]:
    """Requirements over what is not compared. Who evaluates is given the champion, or the base in its place."""
    evaluation = config.workload.evaluation
    joins = config.run.stage is not Stage.EVALUATE and config.workload.output.register_ is not None
    compared = {BASE, *(baseline.name for baseline in evaluation.baselines), *((CHAMPION,) if joins else ())}
    for i, r in enumerate(evaluation.gate.require if evaluation.gate else ()):
        if r.over not in compared:
            where = f"spec.evaluation.gate.require[{i}].over"
            yield f"{where}: {r.over} is not among spec.evaluation.baselines; add it there."


def _best(work: Workload) -> Iterator[str]:
    """Early stopping or the best weights, with nothing to judge by."""
    if work.training.early_stopping is not None and not work.training.keep_best:
        yield "spec.training.earlyStopping needs keepBest: true."
    if work.training.keep_best and not work.dataset.split.resolved_validation_fraction(keep_best=True):
        yield "spec.dataset.split.validationFraction must be above 0 where training.keepBest is true."


def _data(work: Workload) -> Iterator[str]:
    """A format that the method does not read, or ratings where there are none."""
    formats = formats_of(work.method)
    if work.dataset.format not in {DataFormat.AUTO, *formats}:
        yield (
            f"spec.dataset.format: {work.method.value} does not read {work.dataset.format.value}; use "
            f"{' or '.join(formats)}, or Auto."
        )
    if work.dataset.rating is not None and work.method is not Method.KTO:
        yield f"spec.dataset.rating is for KTO, and the method is {work.method.value}; leave it out."


def _training(work: Workload) -> Iterator[str]:
    """Settings of training that the method does not have, or that contradict each other."""
    training, method = work.training, work.method.value
    if (training.epochs is None) == (training.max_steps is None):
        yield "spec.training: give exactly one of epochs and maxSteps."
    if training.packing and work.method is Method.CONTINUED_PRETRAINING:
        yield f"spec.training.packing: {method} fills its windows by itself; leave it out."
    elif training.packing and work.method not in PACKS:
        yield f"spec.training.packing: {method} does not pack, only {', '.join(sorted(PACKS))} does; leave it out."
    if training.beta is not None and work.method not in HAS_BETA:
        yield f"spec.training.beta: the loss of {method} has none; leave it out (it belongs to DPO, ORPO and KTO)."
    if training.stride is not None and work.method is not Method.CONTINUED_PRETRAINING:
        yield f"spec.training.stride is for ContinuedPretraining, and the method is {method}; leave it out."
    elif training.stride is not None and training.stride > training.sequence_length:
        yield (
            f"spec.training.stride: {training.stride} is more than sequenceLength ({training.sequence_length}), so the "
            "text between two windows would never be learnt; use sequenceLength or less."
        )


def _tuning(work: Workload) -> Iterator[str]:
    """What the kind of tuning cannot do."""
    form = work.output.resolved_format(work.tuning.type)
    if work.tuning.type is TuningType.FULL and form is not OutputFormat.MERGED:
        yield f"spec.output.format: {form.value} needs an adapter, and Full tuning makes none; use Merged."
    if work.tuning.type is TuningType.QLORA and not work.resources.gpus_per_node:
        yield (
            "spec.tuning.type: QLoRA needs a GPU (4-bit weights are computed with on CUDA only), and "
            "spec.resources.gpusPerNode is 0; use LoRA, or a GPU."
        )


def _classification(work: Workload) -> Iterator[str]:
    """The block where it does not belong, or labels that are none."""
    block = work.classification
    if block is None:
        return
    if work.method is not Method.CLASSIFICATION:
        yield f"spec.classification is for method Classification, and the method is {work.method.value}; leave it out."
    if len(block.labels) == 1:
        yield "spec.classification.labels: with one label there is nothing to tell apart; name two or more."
    twice = sorted({label for label in block.labels if block.labels.count(label) > 1})
    if twice:
        yield f"spec.classification.labels: {', '.join(twice)} is there more than once."


_CHECKS: tuple[Callable[[Workload], Iterator[str]], ...] = (
    _metrics,
    _settings,
    _baselines,
    _gate,
    _best,
    _data,
    _training,
    _tuning,
    _classification,
)


def _outside(config: RunConfig) -> list[str]:
    """URIs that the admin's runtime does not admit. The operator asks first; this holds even where it did not."""
    work = config.workload
    named = {"spec.model.source": work.model.source, "spec.output.uri": work.output.uri}
    named |= {f"spec.dataset.train[{i}]": uri for i, uri in enumerate(work.dataset.train)}
    named |= {f"spec.dataset.test[{i}]": uri for i, uri in enumerate(work.dataset.test)}
    asked = work.evaluation
    general = asked.forgetting.dataset if asked.forgetting else ()
    named |= {f"spec.evaluation.forgetting.dataset[{i}]": uri for i, uri in enumerate(general)}
    named |= {f"spec.evaluation.baselines[{i}].source": b.source for i, b in enumerate(asked.baselines) if b.source}
    named |= {
        f"spec.evaluation.metrics[{i}].ratings": m.ratings for i, m in enumerate(asked.metrics or ()) if m.ratings
    }
    allowed = config.runtime.allowed_uris
    return [
        f"{field}: {uri} is not below what TuningRuntime {config.runtime.name} allows ({', '.join(allowed)})."
        for field, uri in named.items()
        if not uris.is_allowed(uri, allowed)
    ]
