"""Loading and saving models with transformers and peft, the same for every stage."""

import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.utils import logging

from attune_contract.spec import Tuning
from attune_trainer.errors import InvalidConfigurationError
from attune_trainer.models import SMALL, BaseModel

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
logging.disable_progress_bar()  # a pod's log is no terminal
_NOT_TOKENIZER = ("config.json", "generation_config.json", ".index.json")


def causal_lm(folder: Path, dtype: Any, *, trust_remote_code: bool) -> Any:
    """A causal language model from a local folder, on the CPU, from safetensors only.

    Raises:
        InvalidConfigurationError: transformers cannot make a causal model of it.
    """
    try:
        return AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            use_safetensors=True,
        )
    except (ValueError, KeyError, OSError) as error:
        raise InvalidConfigurationError(
            f"spec.model.source: the model cannot be loaded as a causal language model: {error}"
        ) from error


def base_dtype(base: BaseModel) -> Any:
    """The precision in which the base's weights are stored, and so the tuned ones are published."""
    config = base.config()
    name = config.get("dtype") or config.get("torch_dtype") or "float32"
    dtype = getattr(torch, str(name), None)
    return dtype if isinstance(dtype, torch.dtype) else torch.float32


def with_new_adapter(model: Any, tuning: Tuning) -> Any:
    """Puts LoRA adapters beside the model's layers (Hu et al. 2021). Draws from torch's random numbers.

    Args:
        model: the base.
        tuning: rank, alpha, dropout and where.

    Raises:
        InvalidConfigurationError: no layer has one of the names.
    """
    modules = list(tuning.target_modules)
    config = LoraConfig(
        r=tuning.rank,
        lora_alpha=tuning.alpha,
        lora_dropout=tuning.dropout,
        target_modules=modules[0] if modules == ["all-linear"] else modules,
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        linear = {n.rsplit(".", 1)[-1] for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
        raise InvalidConfigurationError(
            f"spec.tuning.targetModules: {', '.join(modules)} cannot be tuned; this model's linear layers are called "
            f"{', '.join(sorted(linear))}. ({error})"
        ) from error


def with_adapter(model: Any, folder: Path) -> Any:
    """Puts a saved adapter beside the model's layers, for use, not for training."""
    return PeftModel.from_pretrained(model, str(folder), is_trainable=False)


def save_adapter(model: Any, source: str, folder: Path) -> None:
    """Writes adapter_model.safetensors and adapter_config.json, which names the base by its URI."""
    model.peft_config["default"].base_model_name_or_path = source
    model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # peft's template; publish writes a real one


def save_whole(model: Any, folder: Path, dtype: Any) -> None:
    """Writes all weights as safetensors, and config.json."""
    model.to(dtype).save_pretrained(str(folder))


def copy_tokenizer(base: BaseModel, folder: Path) -> None:
    """Copies the base's tokenizer files as they are: saving them afresh would tie them to this transformers release."""
    for file in sorted(base.folder.iterdir()):
        if file.is_file() and file.suffix in SMALL and not file.name.endswith(_NOT_TOKENIZER):
            shutil.copyfile(file, folder / file.name)


def plain_generation(model: Any, tokenizer: Any, stops: tuple[int, ...]) -> None:
    """Makes generation greedy and nothing else, whatever sampling the model's own configuration would like.

    Args:
        model: the model, changed in place: transformers keeps the settings there.
        tokenizer: knows the end of text.
        stops: more tokens that end an answer.
    """
    ends = model.generation_config.eos_token_id if model.generation_config else None
    known = ends if isinstance(ends, list) else [ends]
    eos = sorted({i for i in [*known, tokenizer.eos_token_id, *stops] if i is not None})
    model.generation_config = GenerationConfig(
        do_sample=False, num_beams=1, eos_token_id=eos or None, pad_token_id=padding_id(tokenizer)
    )


def padding_id(tokenizer: Any) -> int:
    """A token id to fill rows up with. Masked wherever it is used, so any will do."""
    return int(next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0))
