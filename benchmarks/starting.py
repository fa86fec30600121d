"""What a stage's process computes before its first row and after its last: what is measured, and the report."""

import argparse
import os
import resource
import subprocess
import sys

from benchmarks.report import Figure, dump, table
from benchmarks.samples import keep, kept, measured, say

EXPLAINED = """\
Measures what a stage of SFT with LoRA computes only to begin and to end: reading its modules, and leaving. Every
process of a stage pays it once; the one that only watches over training pays less, and is not measured. In seconds of
CPU, so that other load on the machine counts for less.

  plain  Python as it is: all modules that are installed, the garbage collector on, tidied up at the end
  pod    as a pod does it: modules without use kept out, no garbage collected before all are read, no tidying up

Each is a process of its own, and the two take turns.
"""
STAGES = ("preflight", "train", "evaluate", "publish")
PLAIN = "import attune_trainer.stages.{stage}"
POD = """\
import gc, os
gc.disable()
from attune_contract.enums import Method, Stage
from attune_contract.runconfig import RunConfig
from attune_trainer import imports
imports.keep_out(imports.unused(RunConfig.model_validate_json({config!r}), Stage({stage!r}.capitalize())))
import attune_trainer.stages.{stage}
imports.over()
os._exit(0)
"""
CONFIG = """\
{"version": "v1alpha1", "run": {"id": "1", "name": "start", "namespace": "bench", "stage": "Train", "attempt": 1},
 "runtime": {"name": "bench"},
 "workload": {"model": {"source": "s3://models/base"}, "method": "SFT", "tuning": {"type": "LoRA"},
              "dataset": {"train": ["s3://data/train.jsonl"]}, "training": {"epochs": 1}, "output": {"uri": "s3://runs"}}}"""


def main(argv: list[str] | None = None) -> int:
    """Runs the bench; 1 where a part failed, 130 when interrupted."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/start.py", description=EXPLAINED, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="times that each is measured (default: 5)")
    options = parser.parse_args(argv)
    return measured(lambda _: _bench(options.rounds), None)


def _bench(rounds: int) -> None:
    figures: list[Figure] = []
    samples = {}
    for stage in STAGES:
        codes = {"plain": PLAIN.format(stage=stage), "pod": POD.format(stage=stage, config=CONFIG)}
        for code in codes.values():
            _seconds(code)  # reads the files once, so that they are in memory for both
        took = [{name: _seconds(code) for name, code in codes.items()} for _ in range(rounds)]
        samples[stage] = took
        plain, pod = (min(each[name] for each in took) for name in codes)
        say(f"{stage}: plain {plain:.2f} s, pod {pod:.2f} s")
        figures.append(
            Figure(
                f"{stage}: a pod's as a share of plain Python's",
                100 * pod / plain,
                "%",
                beside=f"{pod:.2f} of {plain:.2f} s",
            )
        )
    print(f"\n{table(figures)}\n", flush=True)
    machine = f"{os.cpu_count()} cores with a load of {os.getloadavg()[0]:.1f} afterwards"
    say(f"all samples: {keep(kept(), 'start', dump(figures, machine=machine, samples=samples))}")


def _seconds(code: str) -> float:
    """CPU, user's and system's, of one process from beginning to end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
