"""Which file does which method."""

from attune_contract.enums import Method as Name
from attune_trainer.methods.base import Method
from attune_trainer.methods.sft import SFT

METHODS: dict[Name, Method] = {Name.SFT: SFT()}
"""Every method that this version has; `support.demand` refuses the others."""
