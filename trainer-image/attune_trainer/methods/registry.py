"""Which file does which method. TRL and what it needs are imported only by the methods that train with it."""

from attune_contract.enums import Method as Name
from attune_trainer.methods.base import Method
from attune_trainer.methods.classification import Classification
from attune_trainer.methods.continued_pretraining import ContinuedPretraining
from attune_trainer.methods.dpo import DPO
from attune_trainer.methods.kto import KTO
from attune_trainer.methods.orpo import ORPO
from attune_trainer.methods.sft import SFT

METHODS: dict[Name, Method] = {
    Name.SFT: SFT(),
    Name.CONTINUED_PRETRAINING: ContinuedPretraining(),
    Name.DPO: DPO(),
    Name.ORPO: ORPO(),
    Name.KTO: KTO(),
    Name.CLASSIFICATION: Classification(),
}
"""Every method that this version has."""
