"""The tensors of a model by name and shape: from the headers of its safetensors files, or as its config.json implies.

Format of the header: safetensors, "Format": eight bytes of length (little-endian), then JSON.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

_LARGEST_HEADER = 100_000_000
"""The format's own limit, in bytes."""
_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}
_BYTES_OF_NAME = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}


class Tensor(NamedTuple):
    """One tensor, without its numbers."""

    name: str
    shape: tuple[int, ...]
    bytes_each: int = 4
    """Bytes of one number, as stored."""

    @classmethod
    def of(cls, name: str, shape: Sequence[int], dtype: str) -> "Tensor":
        """A tensor as a header describes it: `dtype` is such as `BF16`."""
        return cls(name, tuple(shape), _BYTES.get(dtype, 1))

    @property
    def size(self) -> int:
        """How many numbers it has."""
        count = 1
        for length in self.shape:
            count *= length
        return count


def read_header(stream: BinaryIO) -> tuple[Tensor, ...]:
    """The tensors of one safetensors file, from its first bytes.

    Args:
        stream: at the file's beginning; no more than the header is read.

    Raises:
        ValueError: it is no safetensors file.
    """
    start = stream.read(8)
    size = struct.unpack("<Q", start)[0] if len(start) == 8 else 0  # noqa: PLR2004 - the format's own eight bytes
    if not 0 < size <= _LARGEST_HEADER:
        raise ValueError("not a safetensors file: it has no header")
    header = json.loads(stream.read(size))
    return tuple(
        Tensor.of(name, entry["shape"], entry["dtype"]) for name, entry in header.items() if name != "__metadata__"
    )


def of_config(config: Mapping[str, Any]) -> tuple[Tensor, ...]:
    """The tensors that a config.json implies, biases and norms apart, which are a thousandth of a model.

    Args:
        config: of a decoder with a gated MLP (Llama, Qwen, Mistral and the like), GPT-NeoX, GPT-2 or BERT.

    Returns:
        Nothing where the config does not tell enough.
    """
    shape = shape_of(config)
    if shape is None or not shape.layers:
        return ()
    layer = _gated(shape) if shape.gated else _plain(shape)
    each = _BYTES_OF_NAME.get(str(config.get("dtype") or config.get("torch_dtype")), 4)
    found = [Tensor("embed_tokens.weight", (shape.vocabulary, shape.hidden), each)]
    if not shape.rotary:
        found.append(Tensor("position_embeddings.weight", (shape.positions, shape.hidden), each))
    for number in range(shape.layers):
        found += [Tensor(f"layers.{number}.{name}.weight", size, each) for name, size in layer.items()]
    if not shape.tied:
        found.append(Tensor("lm_head.weight", (shape.vocabulary, shape.hidden), each))
    return tuple(found)


class Shape(NamedTuple):
    """The sizes of a transformer that its memory follows from."""

    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    head: int
    """Size of one attention head."""
    intermediate: int
    """Width of the MLP."""
    vocabulary: int
    positions: int
    gated: bool
    """Whether the MLP has a gate beside its first layer (SwiGLU and the like)."""
    rotary: bool
    """Whether positions are rotations rather than a table."""
    tied: bool
    """Whether the output head is the table of the embeddings."""

    @property
    def query(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head

    @property
    def key_value(self) -> int:
        """Width of all key heads together; that of the value heads is the same."""
        return self.key_value_heads * self.head


def shape_of(config: Mapping[str, Any]) -> Shape | None:
    """The sizes that a config.json tells, by the names that its architecture gives them; None where some are missing.

    Args:
        config: of a text model, or of one that holds a text model's in `text_config`.
    """
    nested = config.get("text_config")
    given = {**config, **nested} if isinstance(nested, Mapping) else config

    def number(*names: str) -> int:
        return next((v for n in names if isinstance(v := given.get(n), int) and v > 0), 0)

    hidden, layers = number("hidden_size", "n_embd", "d_model"), number("num_hidden_layers", "n_layer", "num_layers")
    heads, vocabulary = number("num_attention_heads", "n_head", "num_heads"), number("vocab_size")
    if not (hidden and layers and heads and vocabulary):
        return None
    kind = str(given.get("model_type", ""))
    return Shape(
        hidden=hidden,
        layers=layers,
        heads=heads,
        key_value_heads=number("num_key_value_heads") or heads,
        head=number("head_dim") or hidden // heads,
        intermediate=number("intermediate_size", "n_inner", "d_ff", "ffn_dim") or 4 * hidden,
        vocabulary=vocabulary,
        positions=number("max_position_embeddings", "n_positions"),
        gated=str(given.get("hidden_act", "")) in {"silu", "swish", "gelu_pytorch_tanh"} and kind not in _PLAIN,
        rotary=kind not in _TABLES,
        tied=bool(given.get("tie_word_embeddings", kind in _TIED)),
    )


_PLAIN = frozenset(
    {"bert", "roberta", "distilbert", "gpt2", "gpt_neox", "opt", "gpt_neo", "phi", "bloom", "starcoder2"}
)
"""Architectures whose MLP has two layers and no gate."""
_TABLES = frozenset({"bert", "roberta", "distilbert", "gpt2", "opt", "gpt_neo"})
"""Architectures that look positions up."""
_TIED = frozenset(
    {"bert", "roberta", "distilbert", "gpt2", "opt", "gpt_neo", "gemma", "gemma2", "gemma3_text", "bloom"}
)
"""Architectures that share the table of embeddings with the head where the config does not say."""


def _attention(shape: Shape) -> dict[str, tuple[int, int]]:
    return {
        "self_attn.q_proj": (shape.query, shape.hidden),
        "self_attn.k_proj": (shape.key_value, shape.hidden),
        "self_attn.v_proj": (shape.key_value, shape.hidden),
        "self_attn.o_proj": (shape.hidden, shape.query),
    }


def _gated(shape: Shape) -> dict[str, tuple[int, int]]:
    wide = (shape.intermediate, shape.hidden)
    return {**_attention(shape), "mlp.gate_proj": wide, "mlp.up_proj": wide, "mlp.down_proj": wide[::-1]}


def _plain(shape: Shape) -> dict[str, tuple[int, int]]:
    wide = (shape.intermediate, shape.hidden)
    return {**_attention(shape), "mlp.up_proj": wide, "mlp.down_proj": wide[::-1]}
