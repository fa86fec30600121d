"""Keeps a stage from importing libraries that it does not use.

transformers and peft import what they could work with wherever it is installed: `datasets` with pandas, and
bitsandbytes with torch's compiler. That is more than two seconds of every pod, for methods that need neither.
"""

import sys
from collections.abc import MutableMapping
from typing import Any

from attune_contract.enums import Method, Stage, TuningType
from attune_contract.spec import Workload

OF_TRL = frozenset({"datasets", "pandas"})
"""What TRL's trainers cannot do without."""
OF_QLORA = frozenset({"bitsandbytes"})
OF_SKLEARN = frozenset({"sklearn"})
"""transformers imports it wherever it is installed."""
OF_MONITORING = frozenset({"sklearn", "pandas"})
ON_TRL = frozenset({Method.DPO, Method.ORPO, Method.KTO})


def unused(work: Workload, stage: Stage) -> frozenset[str]:
    """Modules that are installed and that a stage has no use for."""
    if stage in {Stage.PREFLIGHT, Stage.POLL}:  # neither transformers' models nor peft
        return frozenset()
    if stage is Stage.MONITOR:  # scikit-learn looks whether a table is one of pandas'; a challenger may be of QLoRA
        return OF_TRL - OF_MONITORING
    used: set[str] = set()
    if stage is Stage.TRAIN and work.method in ON_TRL:
        used |= OF_TRL
    if work.tuning.type is TuningType.QLORA:
        used |= OF_QLORA
    return (OF_TRL | OF_QLORA | OF_SKLEARN) - used


def keep_out(names: frozenset[str], modules: MutableMapping[str, Any] = sys.modules) -> None:
    """Makes modules look as if they were not installed, to whoever asks from now on; one that is loaded stays.

    Source: Python's import system, "The module cache": a None in `sys.modules` is a module that is not found.
    """
    for name in names:
        modules.setdefault(name, None)
