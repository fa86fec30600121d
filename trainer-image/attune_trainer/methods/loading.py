"""Loading and saving models with transformers and peft, the same for every stage."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, GenerationConfig
from transformers.utils import logging

from attune_trainer.errors import InvalidConfigurationError
from attune_trainer.models import SMALL, BaseModel, check_causal

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
logging.disable_progress_bar()  # a pod's log is no terminal
_NOT_TOKENIZER = frozenset({"config.json", "generation_config.json"})
_INDEX = ".index.json"


def causal_lm(folder: Path, dtype: Any, *, trust_remote_code: bool, **more: Any) -> Any:
    """A causal language model from a local folder, from safetensors only; on the CPU unless `more` says otherwise.

    Args:
        folder: config and weights.
        dtype: precision of the weights.
        trust_remote_code: whether the model may bring its own code.
        more: what else `from_pretrained` is told, such as how to quantise.

    Raises:
        InvalidConfigurationError: transformers cannot make a causal model of it, or it looks ahead.
    """
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype=dtype,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            use_safetensors=True,
            **more,
        )
    except (ValueError, KeyError, OSError) as error:
        raise InvalidConfigurationError(
            f"spec.model.source: the model cannot be loaded as a causal language model: {error}"
        ) from error
    check_causal(model.config.to_dict())
    return model


def classifier(
    folder: Path, dtype: Any, labels: Sequence[str], padding: int, *, trust_remote_code: bool, **more: Any
) -> tuple[Any, tuple[str, ...]]:
    """A model with a classification head. What the folder does not bring is drawn from torch's random numbers.

    Args:
        folder: config and weights, of the base or of a classifier.
        dtype: precision of the weights.
        labels: in the order of their numbers.
        padding: the token id that rows are filled up with: decoders look for the last token before it.
        trust_remote_code: whether the model may bring its own code.
        more: what else `from_pretrained` is told.

    Returns:
        The model, and the names of its modules that the folder did not bring.

    Raises:
        InvalidConfigurationError: transformers knows no such head for this architecture.
    """
    try:
        model, found = AutoModelForSequenceClassification.from_pretrained(
            str(folder),
            dtype=dtype,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={label: number for number, label in enumerate(labels)},
            problem_type="single_label_classification",
            ignore_mismatched_sizes=True,  # a head for other labels is drawn anew
            output_loading_info=True,
            trust_remote_code=trust_remote_code,
            local_files_only=True,
            use_safetensors=True,
            **more,
        )
    except (ValueError, KeyError, OSError) as error:
        raise InvalidConfigurationError(
            f"spec.classification.style: Head: the model cannot be loaded with a classification head: {error}"
        ) from error
    model.config.pad_token_id = padding
    missing = [key if isinstance(key, str) else key[0] for key in (*found["missing_keys"], *found["mismatched_keys"])]
    return model, tuple(sorted({key.rpartition(".")[0] for key in missing}))


def base_dtype(base: BaseModel) -> Any:
    """The precision in which the base's weights are stored, and so the tuned ones are published."""
    config = base.config()
    name = config.get("dtype") or config.get("torch_dtype") or "float32"
    dtype = getattr(torch, str(name), None)
    return dtype if isinstance(dtype, torch.dtype) else torch.float32


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
    """Copies the base's tokenizer files as they are: saving them afresh would tie them to this transformers release.

    A chat template that the manifest gives takes the place of the model's own there too.
    """
    for file in sorted(base.folder.iterdir()):
        of_model = file.name in _NOT_TOKENIZER or file.name.endswith(_INDEX)
        if file.is_file() and file.suffix in SMALL and not of_model:
            shutil.copyfile(file, folder / file.name)
    if base.chat_template is not None:
        (folder / "chat_template.jinja").write_text(base.chat_template, encoding="utf-8")


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
