"""Keeps a stage from importing libraries that it does not use, and from looking for garbage in what it imports.

transformers and peft import what they could work with wherever it is installed: `datasets` with pandas, scikit-learn,
scipy, and bitsandbytes with torch's compiler. That is more than two seconds of every pod, for methods that need none of
them. A model that brings code of its own may need any, so there nothing is kept out.
"""

import gc
import sys
from collections.abc import MutableMapping
from typing import Any

from attune_contract.enums import Method, Stage, TuningType
from attune_contract.runconfig import RunConfig

OF_TRL = frozenset({"datasets", "pandas"})
"""What TRL's trainers cannot do without."""
OF_QLORA = frozenset({"bitsandbytes"})
OF_SKLEARN = frozenset({"sklearn"})
"""transformers imports it wherever it is installed."""
OF_IMAGES = frozenset({"scipy"})
"""The same, for the losses of models that find things in images; one text model, FNet, computes with it, under a head
for classification. What evaluates models needs it itself."""
OF_MONITORING = frozenset({"sklearn", "pandas"})
ON_TRL = frozenset({Method.DPO, Method.ORPO, Method.KTO})


def unused(config: RunConfig, stage: Stage) -> frozenset[str]:
    """Modules that are installed and that a stage has no use for."""
    work = config.workload
    if stage in {Stage.PREFLIGHT, Stage.POLL}:  # neither transformers' models nor peft
        return frozenset()
    if config.runtime.trust_remote_code:
        return frozenset()
    if stage is Stage.MONITOR:  # scikit-learn looks whether a table is one of pandas'; a challenger may be of QLoRA
        return OF_TRL - OF_MONITORING
    used: set[str] = set()
    if stage is Stage.TRAIN and work.method in ON_TRL:
        used |= OF_TRL
    if stage is Stage.EVALUATE or work.has_head:
        used |= OF_IMAGES
    if work.tuning.type is TuningType.QLORA:
        used |= OF_QLORA
    return (OF_TRL | OF_QLORA | OF_SKLEARN | OF_IMAGES) - used


def keep_out(names: frozenset[str], modules: MutableMapping[str, Any] = sys.modules) -> None:
    """Makes modules look as if they were not installed, to whoever asks from now on; one that is loaded stays.

    Source: Python's import system, "The module cache": a None in `sys.modules` is a module that is not found.
    """
    for name in names:
        modules.setdefault(name, None)


def over() -> None:
    """Has garbage collected from now on, where the process put that off until the modules of its stage are read.

    What is there by now is taken to stay until the end, and is never looked through.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
