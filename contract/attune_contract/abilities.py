"""What each method can do: the formats that it reads and the metrics that it is measured by. One table for all."""

from typing import NamedTuple

from attune_contract.enums import DataFormat, Method, MetricName


class Metrics(NamedTuple):
    """The metrics of one method."""

    default: tuple[MetricName, ...]
    """Taken where the manifest names none; the first is the run's score."""
    known: frozenset[MetricName]
    """All that this version computes for the method."""


_TEXT = frozenset(
    {
        MetricName.EXACT_MATCH,
        MetricName.TOKEN_F1,
        MetricName.ROUGE_L,
        MetricName.BLEU,
        MetricName.CHRF,
        MetricName.JSON_VALID,
        MetricName.REGEX_MATCH,
        MetricName.HUMAN_PREFERENCE,
    }
)
"""Metrics of a generated answer."""
_PAIRS = Metrics((MetricName.PREFERENCE_MARGIN,), frozenset({MetricName.PREFERENCE_MARGIN}))
_METRICS = {
    Method.SFT: Metrics(
        (MetricName.EXACT_MATCH, MetricName.PERPLEXITY),
        _TEXT | {MetricName.ACCURACY, MetricName.MACRO_F1, MetricName.PERPLEXITY},
    ),
    Method.CONTINUED_PRETRAINING: Metrics((MetricName.PERPLEXITY,), frozenset({MetricName.PERPLEXITY})),
    Method.DPO: _PAIRS,
    Method.ORPO: _PAIRS,
    Method.KTO: _PAIRS,
    Method.CLASSIFICATION: Metrics(
        (MetricName.ACCURACY,), frozenset({MetricName.ACCURACY, MetricName.MACRO_F1, MetricName.LABEL_LOG_LOSS})
    ),
}
_FORMATS = {
    Method.SFT: (DataFormat.CHAT, DataFormat.PROMPT_COMPLETION),
    Method.CONTINUED_PRETRAINING: (DataFormat.TEXT,),
    Method.DPO: (DataFormat.PREFERENCE,),
    Method.ORPO: (DataFormat.PREFERENCE,),
    Method.KTO: (DataFormat.RATED,),
    Method.CLASSIFICATION: (DataFormat.LABELED,),
}
PACKS = frozenset({Method.SFT})
"""Methods for which `training.packing` means something; ContinuedPretraining fills its windows by itself."""
CAN_BE_PROMPTED = frozenset(set(Method) - {Method.CONTINUED_PRETRAINING})
"""Methods whose rows have a prompt that a system prompt and examples can go before."""
HAS_BETA = frozenset({Method.DPO, Method.ORPO, Method.KTO})
"""Methods whose loss has a `training.beta`."""


def metrics_of(method: Method) -> Metrics:
    """The metrics that this version computes for a method."""
    return _METRICS[method]


def formats_of(method: Method) -> tuple[DataFormat, ...]:
    """The formats that a method reads, in the order in which Auto tries them."""
    return _FORMATS[method]
