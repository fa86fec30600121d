"""Which weights change: adapters over a frozen base (LoRA), over a 4-bit one (QLoRA), or all (Full)."""

from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from attune_contract.enums import TuningType
from attune_contract.spec import Tuning
from attune_trainer.errors import InvalidConfigurationError
from attune_trainer.methods.device import Device

ALL_LINEAR = "all-linear"


def weights_dtype(tuning: Tuning, place: Device) -> Any:
    """The precision that the base's weights are loaded in: float32 where they are trained, whatever is computed in."""
    return torch.float32 if tuning.type is TuningType.FULL else place.dtype


def quantization(tuning: Tuning, place: Device) -> dict[str, Any]:
    """What `from_pretrained` is told of 4-bit weights: NF4 with double quantisation (Dettmers et al. 2023).

    Raises:
        InvalidConfigurationError: QLoRA without a GPU.
    """
    if tuning.type is not TuningType.QLORA:
        return {}
    if not place.is_gpu:
        raise InvalidConfigurationError(
            "spec.tuning.type: QLoRA needs a GPU, and spec.resources.gpusPerNode is 0; use LoRA, or a GPU."
        )
    from transformers import BitsAndBytesConfig

    four_bit = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=place.dtype,
    )
    return {"quantization_config": four_bit, "device_map": {"": place.name}}


def tuned(model: Any, tuning: Tuning, *, task: str = "CAUSAL_LM", fresh: Sequence[str] = ()) -> Any:
    """The model with what is trained of it. Draws from torch's random numbers.

    Args:
        model: the base, as `weights_dtype` and `quantization` had it loaded.
        tuning: kind, rank, alpha, dropout and where.
        task: peft's word for what the model does.
        fresh: modules that the base did not bring, such as a classification head: trained whole, and saved.

    Raises:
        InvalidConfigurationError: no layer has one of the names.
    """
    if tuning.type is TuningType.FULL:
        return model
    if tuning.type is TuningType.QLORA:
        from peft import prepare_model_for_kbit_training

        # The Trainer turns activation checkpointing on by itself where the model is large.
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return _with_new_adapter(model, tuning, task, fresh)


def _with_new_adapter(model: Any, tuning: Tuning, task: str, fresh: Sequence[str]) -> Any:
    """Puts LoRA adapters beside the model's layers (Hu et al. 2021)."""
    modules = list(tuning.target_modules)
    config = LoraConfig(
        r=tuning.rank,
        lora_alpha=tuning.alpha,
        lora_dropout=tuning.dropout,
        target_modules=ALL_LINEAR if modules == [ALL_LINEAR] else modules,
        modules_to_save=list(fresh) or None,
        task_type=task,
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        linear = {n.rsplit(".", 1)[-1] for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
        raise InvalidConfigurationError(
            f"spec.tuning.targetModules: {', '.join(modules)} cannot be tuned; this model's linear layers are called "
            f"{', '.join(sorted(linear))}. ({error})"
        ) from error
