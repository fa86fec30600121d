"""Preflight's reading beside the bare tokenizer: what is measured, and the report at the end."""

import argparse
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.preflight_rows import FORMATS, tokenizer_of, write_rows
from benchmarks.report import Figure, dump, table
from benchmarks.samples import keep, kept, measured, say

JSON = dict[str, Any]
EXPLAINED = """\
Measures how fast preflight reads data, beside the bare fast tokenizer on the same rows in the same run, and prints what
it found beside what we aim at. Falling short is shown, and is no failure.

  bare       the tokenizer alone, over the texts that preflight counts, in batches as large as preflight's; the texts
             are in memory before the clock starts
  preflight  all of it: reading the file, JSON, every check, chat template, tokenizer, split, parquet, warnings; the
             search for near duplicates is bounded in rows, so its seconds are taken off and shown apart

Each part is a process of its own, so that its memory is its own; bare and preflight take turns. Rows are made up, of
words with natural frequencies, and the tokenizer is a byte-level BPE of 32,000 tokens, trained on them.
"""
ROWS = 60_000
FULL_BYTES = 2 << 30
_BATCH = 512
_MIB = 1 << 20


def main(argv: list[str] | None = None) -> int:
    """Runs the bench; 1 where something could not be measured, 130 when interrupted."""
    options = _parser().parse_args(argv)
    if options.part:
        print(json.dumps(_bare(options) if options.part == "bare" else _preflight(options)))
        return 0
    return measured(lambda folder: _bench(options, folder), options.scratch)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks/preflight.py", description=EXPLAINED, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=ROWS, metavar="N", help=f"rows of each format (default: {ROWS})")
    parser.add_argument("--full", action="store_true", help="a file of 2 GB for each format: takes an hour or so")
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="times that each is measured (default: 2)")
    parser.add_argument("--formats", default=",".join(FORMATS), help="default: %(default)s")
    parser.add_argument("--scratch", type=Path, metavar="FOLDER", help="for the rows (default: the system's)")
    hidden = parser.add_argument_group("the parts, which the bench starts by itself")
    hidden.add_argument("--part", choices=["bare", "preflight"], help=argparse.SUPPRESS)
    hidden.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser


def _bench(options: argparse.Namespace, folder: Path) -> None:
    figures: list[Figure] = []
    samples: JSON = {}
    for name in options.formats.split(","):
        place = folder / name
        place.mkdir()
        rows = write_rows(place / "train.jsonl", name, options.rows, FULL_BYTES if options.full else None)
        size = (place / "train.jsonl").stat().st_size
        say(f"{name}: {rows} rows, {size / _MIB:.0f} MiB")
        tokenizer_of(place / "train.jsonl", name, place / "model")
        rounds = [{part: _part(part, place) for part in ("bare", "preflight")} for _ in range(options.rounds)]
        samples[name] = {"rows": rows, "bytes": size, "rounds": rounds}
        figures += _figures(name, rows, size, rounds)
    print(f"\n{table(figures)}\n", flush=True)
    machine = f"{os.cpu_count()} cores with a load of {os.getloadavg()[0]:.1f} afterwards"
    path = keep(kept(), "preflight", dump(figures, machine=machine, samples=samples))
    say(f"all samples: {path}")


def _figures(name: str, rows: int, size: int, rounds: list[dict[str, JSON]]) -> list[Figure]:
    """The lines of the report: each time is the quickest of the rounds, since all that disturbs makes it slower."""
    bare = min(r["bare"]["seconds"] for r in rounds)
    near = min(r["preflight"]["nearSeconds"] for r in rounds)
    own = min(r["preflight"]["seconds"] - r["preflight"]["nearSeconds"] for r in rounds)
    last = rounds[-1]["preflight"]
    speed = f"{size / _MIB / own:.1f} MiB/s, {rows / own:,.0f} rows/s; bare {bare:.1f} s, preflight {own:.1f} s"
    cpu = min(r["preflight"]["cpuSeconds"] for r in rounds) / min(r["bare"]["cpuSeconds"] for r in rounds)
    return [
        Figure(f"{name}: preflight's time as a multiple of the bare tokenizer's", own / bare, "", 1.5, beside=speed),
        Figure(f"{name}: the same in seconds of CPU, near duplicates included", cpu, ""),
        Figure(
            f"{name}: most memory of preflight's process",
            max(r["preflight"]["peakBytes"] for r in rounds) / _MIB,
            "MiB",
            aim=1024,
            beside=f"of a file of {size / _MIB:.0f} MiB",
        ),
        Figure(
            f"{name}: search for near duplicates",
            near,
            "s",
            beside=f"{last['nearRows']:,} rows compared; up to {last['nearBound']:,} of train files are",
        ),
        Figure(f"{name}: other searches for doubtful rows", last["qualitySeconds"], "s", beside="part of preflight"),
    ]


def _part(part: str, folder: Path) -> JSON:
    command = [sys.executable, str(Path(__file__).with_name("preflight.py")), "--part", part, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: JSON = json.loads(done.stdout.splitlines()[-1])
    say(f"  {part}: {found['seconds']:.1f} s")
    return found


def _bare(options: argparse.Namespace) -> JSON:
    """The tokenizer alone."""
    _hide_torch()
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(options.folder / "model"))
    seconds, cpu, tokens = 0.0, 0.0, 0
    for texts in _texts(options.folder, tokenizer):
        began, cpu_began = time.perf_counter(), time.process_time()
        ids = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        seconds += time.perf_counter() - began
        cpu += time.process_time() - cpu_began
        tokens += sum(len(row) for row in ids)
    return {"seconds": seconds, "cpuSeconds": cpu, "tokens": tokens}


def _texts(folder: Path, tokenizer: Any) -> Iterator[list[str]]:
    """What preflight counts the tokens of, made before the clock starts."""
    batch: list[str] = []
    with (folder / "train.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            messages = row.get("messages")
            text = (
                tokenizer.apply_chat_template(messages, tokenize=False)
                if messages
                else row["prompt"] + row["completion"]
            )
            batch.append(text)
            if len(batch) == _BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _preflight(options: argparse.Namespace) -> JSON:
    """Preflight's reading, as its pod does it."""
    _hide_torch()
    from transformers import AutoTokenizer

    from attune_contract.spec import Workload
    from attune_trainer.data import dataset
    from attune_trainer.data.objects import DataFile
    from attune_trainer.data.problems import ProblemLog
    from attune_trainer.storage.file import FileStore

    file = f"file://{options.folder}/train.jsonl"
    work = Workload.model_validate(
        {
            "model": {"source": f"file://{options.folder}/model"},
            "method": "SFT",
            "dataset": {"train": [file]},
            "training": {"epochs": 1, "sequenceLength": 2048},
            "output": {"uri": "file:///nonexistent"},
        }
    )
    tokenizer = AutoTokenizer.from_pretrained(str(options.folder / "model"))
    store = FileStore()
    files = (DataFile(store.head(file), store, "spec.dataset.train[0]", held_out=False),)
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        problems = ProblemLog(Path(scratch) / "problems.jsonl")
        began, cpu_began = time.perf_counter(), time.process_time()
        checked = dataset.check(dataset.Request(work, files, 2048), tokenizer, problems, Path(scratch), lambda _: None)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    if problems.total:
        raise SystemExit(f"the rows should be good: {problems.summary()}")
    quality = checked.quality.figures["quality"]
    return {
        "seconds": seconds,
        "cpuSeconds": cpu,
        "tokens": checked.sides.tokens.total,
        "nearSeconds": quality["nearDuplicateSearch"]["seconds"],
        "nearRows": quality["nearDuplicateSearch"]["rows"],
        "nearBound": quality["nearDuplicateSearch"]["upToRows"],
        "qualitySeconds": quality["otherSeconds"],
        "peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _hide_torch() -> None:
    """Makes transformers believe what holds in the data image: there is no torch."""
    found = importlib.util.find_spec

    def without_torch(name: str, package: str | None = None) -> Any:
        return None if name.split(".", maxsplit=1)[0] == "torch" else found(name, package)

    importlib.util.find_spec = without_torch
