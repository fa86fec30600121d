"""Make the example's base model: a small decoder, pre-trained from nothing on text that every machine here has.

    python make_base.py --cache       # build once, print the folder; the second call is instant
    python make_base.py --out DIR     # build into DIR

A few minutes on two CPU cores. Everything is seeded: the same versions on the same machine give the same files (across
kinds of CPU the last digits of the weights may differ). The folder holds model.safetensors, config.json and the
tokenizer, as `transformers` reads them.
"""

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from base.cache import cache_root, ensure, key_of
from base.corpus import documents, source_versions

HERE = Path(__file__).resolve().parent
TRAIN = HERE / "data" / "train.jsonl"


def main() -> None:
    """Parse the command line, build what it asks for and print the folder on stdout; progress goes to stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, metavar="DIR", help="build into this folder")
    where.add_argument("--cache", action="store_true", help="build into the cache unless it is there, print the folder")
    arguments = parser.parse_args()
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        build(arguments.out)
    print(arguments.out or cached_base())


def cached_base() -> Path:
    """Return the folder of the base model in the cache, built first if no complete one is there."""
    return ensure(cache_root(os.environ) / "support-router-base" / cache_key(), build)


def cache_key() -> str:
    """Hash of all that the model follows from: this code, the category words, Python and the packages' versions."""
    packages = {name: metadata.version(name) for name in ("torch", "transformers", "tokenizers")}
    inputs = {"python": platform.python_version(), **packages, **source_versions(), "words": category_words()}
    return key_of(inputs, [Path(__file__), *(HERE / "base").glob("*.py")])


def category_words() -> list[str]:
    """The words, with their leading space, that the tokenizer must know whole: only the words, not what they label."""
    with TRAIN.open(encoding="utf-8") as lines:
        return sorted({json.loads(line)["completion"] for line in lines})


def build(folder: Path) -> None:
    """Make the base model in `folder`: text, tokenizer, weights."""
    import torch  # seconds to import, and not needed to find a model in the cache
    from base.pretrain import Recipe, blocks, new_model, pretrain
    from base.tokenizer import train_tokenizer

    recipe = Recipe()
    started = time.monotonic()
    torch.set_num_threads(min(torch.get_num_threads(), 2))  # the order of sums, so the weights, depends on it
    _say("base model: collecting English text from the installed packages")
    texts = documents(chars=recipe.chars, seed=recipe.seed)
    _say(f"base model: training a tokenizer on {sum(map(len, texts)):,} characters")
    tokenizer = train_tokenizer(
        texts, whole_words=category_words(), vocab_size=recipe.vocab_size, context=recipe.context
    )
    rows = blocks(texts, tokenizer, block=recipe.block)
    model = new_model(recipe, tokenizer, rows)
    seen = recipe.steps * recipe.batch * recipe.block
    _say(f"base model: pre-training {model.num_parameters():,} parameters on {seen:,} of {rows.numel():,} tokens")
    loss = pretrain(model, rows, recipe)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "recipe.json").write_text(json.dumps({**asdict(recipe), "loss": round(loss, 3)}, indent=2) + "\n")
    _say(f"base model: done in {time.monotonic() - started:.0f} s, loss {loss:.2f}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
