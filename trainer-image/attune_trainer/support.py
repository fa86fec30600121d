"""What this version acts on. A field that nobody acts on is refused with its path, never silently passed over."""

from attune_contract import uris
from attune_contract.enums import Method, MetricName, OutputFormat, TuningType
from attune_contract.runconfig import RunConfig
from attune_contract.spec import Workload
from attune_trainer.errors import InvalidConfigurationError

METRICS = (MetricName.ACCURACY, MetricName.EXACT_MATCH, MetricName.PERPLEXITY)


def demand(config: RunConfig) -> None:
    """Refuses what cannot be done, all of it at once.

    Raises:
        InvalidConfigurationError: with one sentence for each field.
    """
    refusals = [*_refused_features(config.workload), *_refused_combinations(config.workload), *_outside(config)]
    if refusals:
        raise InvalidConfigurationError(" ".join(refusals))


def _refused_features(work: Workload) -> list[str]:
    wanted = {
        f"spec.method: {work.method.value}": work.method is not Method.SFT,
        f"spec.tuning.type: {work.tuning.type.value}": work.tuning.type is TuningType.QLORA,
        "spec.training.packing": work.training.packing,
        "spec.training.beta": work.training.beta is not None,
        "spec.training.checkpoint": work.training.checkpoint is not None,
        "spec.evaluation.forgetting": work.evaluation.forgetting is not None,
        "spec.evaluation.baselines other than base": any(
            (b.name, b.source, b.system_prompt, b.few_shot) != ("base", None, None, None)
            for b in work.evaluation.baselines
        ),
    }
    wanted |= {
        f"spec.evaluation.metrics[{i}]: {metric.name.value}": metric.name not in METRICS
        for i, metric in enumerate(work.evaluation.metrics)
    }
    return [f"{name} is not supported in this version." for name, is_asked in wanted.items() if is_asked]


def _refused_combinations(work: Workload) -> list[str]:
    found = []
    form = work.output.resolved_format(work.tuning.type)
    if work.tuning.type is TuningType.FULL and form is not OutputFormat.MERGED:
        found.append(f"spec.output.format: {form.value} needs an adapter, and Full tuning makes none; use Merged.")
    if (work.training.epochs is None) == (work.training.max_steps is None):
        found.append("spec.training: give exactly one of epochs and maxSteps.")
    return found


def _outside(config: RunConfig) -> list[str]:
    """URIs that the admin's runtime does not admit. The operator asks first; this holds even where it did not."""
    work = config.workload
    named = {"spec.model.source": work.model.source, "spec.output.uri": work.output.uri}
    named |= {f"spec.dataset.train[{i}]": uri for i, uri in enumerate(work.dataset.train)}
    named |= {f"spec.dataset.test[{i}]": uri for i, uri in enumerate(work.dataset.test)}
    allowed = config.runtime.allowed_uris
    return [
        f"{field}: {uri} is not below what TuningRuntime {config.runtime.name} allows ({', '.join(allowed)})."
        for field, uri in named.items()
        if not uris.is_allowed(uri, allowed)
    ]
