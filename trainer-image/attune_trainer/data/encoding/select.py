"""Which encoder a run's rows go through: the one place where preflight, training and evaluation agree."""

from typing import Any

from attune_contract.enums import ClassificationStyle, Method
from attune_contract.spec import Workload
from attune_trainer.data.encoding.base import RowEncoder
from attune_trainer.data.encoding.labeled import HeadEncoder, TokenEncoder
from attune_trainer.data.encoding.pairs import PairEncoder
from attune_trainer.data.encoding.rated import RatedEncoder
from attune_trainer.data.encoding.supervised import Encoder
from attune_trainer.data.encoding.text import TextEncoder


def encoder_for(work: Workload, tokenizer: Any, sequence_length: int, labels: tuple[str, ...] = ()) -> RowEncoder[Any]:
    """The encoder for a run's kind of row.

    Args:
        work: names the method, and style or stride.
        tokenizer: the base's, with the template that the run uses.
        sequence_length: tokens that the run and the model allow.
        labels: of Classification, in the order of their numbers; empty while they are not known.
    """
    match work.method:
        case Method.SFT:
            return Encoder(tokenizer, sequence_length)
        case Method.DPO | Method.ORPO:
            return PairEncoder(tokenizer, sequence_length)
        case Method.KTO:
            return RatedEncoder(tokenizer, sequence_length)
        case Method.CONTINUED_PRETRAINING:
            return TextEncoder(tokenizer, sequence_length, work.training.stride)
        case Method.CLASSIFICATION:
            head = work.resolved_classification().style is ClassificationStyle.HEAD
            return (HeadEncoder if head else TokenEncoder)(tokenizer, sequence_length, labels)
