"""Which kind of scoring a method's rows go through."""

from collections.abc import Callable

from attune_contract.enums import Method
from attune_trainer.evaluation.kinds.base import Given, Kind
from attune_trainer.evaluation.kinds.documents import DocumentKind
from attune_trainer.evaluation.kinds.labeled import LabeledKind
from attune_trainer.evaluation.kinds.pairs import PairKind
from attune_trainer.evaluation.kinds.rated import RatedKind
from attune_trainer.evaluation.kinds.supervised import SupervisedKind

_KINDS: dict[Method, Callable[[Given], Kind]] = {
    Method.SFT: SupervisedKind,
    Method.CONTINUED_PRETRAINING: DocumentKind,
    Method.DPO: PairKind,
    Method.ORPO: PairKind,
    Method.KTO: RatedKind,
    Method.CLASSIFICATION: LabeledKind,
}


def kind_for(given: Given) -> Kind:
    """The kind of scoring for a run's method.

    Raises:
        InvalidDataError: the held-out rows cannot tell what the method's metrics ask.
    """
    return _KINDS[given.work.method](given)
