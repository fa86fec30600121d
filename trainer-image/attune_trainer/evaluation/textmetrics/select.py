"""From a manifest's metric to its class here."""

from collections.abc import Callable
from typing import Any

from attune_contract.enums import MetricName
from attune_contract.spec import Metric as Asked
from attune_trainer.errors import InvalidConfigurationError
from attune_trainer.evaluation.textmetrics.answers import ExactMatch, RougeL, TokenF1
from attune_trainer.evaluation.textmetrics.base import Metric
from attune_trainer.evaluation.textmetrics.labels import Accuracy, LabelLogLoss, MacroF1
from attune_trainer.evaluation.textmetrics.structure import JsonValid, RegexMatch
from attune_trainer.evaluation.textmetrics.translation import Bleu, Chrf

_OF_TEXT: dict[MetricName, Callable[[Asked, str], Metric[str, str]]] = {
    MetricName.EXACT_MATCH: lambda _asked, _where: ExactMatch(),
    MetricName.TOKEN_F1: lambda _asked, _where: TokenF1(),
    MetricName.ROUGE_L: lambda _asked, _where: RougeL(),
    MetricName.BLEU: lambda _asked, _where: Bleu(),
    MetricName.CHRF: lambda _asked, _where: Chrf(),
    MetricName.JSON_VALID: lambda asked, where: JsonValid(asked.schema_, f"{where}.schema"),
    MetricName.REGEX_MATCH: lambda asked, where: RegexMatch(_pattern(asked, where), f"{where}.pattern"),
}
_OF_LABELS: dict[MetricName, Callable[[tuple[str, ...]], Metric[Any, str]]] = {
    MetricName.ACCURACY: lambda _labels: Accuracy(),
    MetricName.MACRO_F1: MacroF1,
    MetricName.LABEL_LOG_LOSS: LabelLogLoss,
}
OF_TEXT = frozenset(_OF_TEXT)
"""Metrics of a generated answer."""
OF_LABELS = frozenset(_OF_LABELS)
"""Metrics of a choice among labels."""


def of_text(asked: Asked, where: str) -> Metric[str, str]:
    """The metric of generated answers that a manifest asks for.

    Args:
        asked: the manifest's entry, one of OF_TEXT.
        where: its field, such as `spec.evaluation.metrics[0]`, for errors.

    Raises:
        InvalidConfigurationError: its schema or pattern is wrong.
    """
    return _OF_TEXT[asked.name](asked, where)


def of_labels(name: MetricName, labels: tuple[str, ...]) -> Metric[Any, str]:
    """The metric of labels of a name, one of OF_LABELS.

    Args:
        name: its name.
        labels: all labels; answers of LabelLogLoss are likelihoods in this order.
    """
    return _OF_LABELS[name](labels)


def _pattern(asked: Asked, where: str) -> str:
    if asked.pattern is None:
        raise InvalidConfigurationError(f"{where}.pattern: RegexMatch needs one. Name the regular expression.")
    return asked.pattern
