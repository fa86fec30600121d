"""The command line: one stage of one run, from a RunConfig file to an Outcome and an exit code."""

import argparse
import importlib
import logging
import os
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from attune_contract.enums import Stage
from attune_contract.outcome import Outcome
from attune_contract.runconfig import RUN_CONFIG_PATH, RunConfig
from attune_trainer import configuration, hub, imports, launch, outcomes, progress, stop
from attune_trainer.context import Context
from attune_trainer.distributed import Process

_HELP = """\
One stage of a fine-tuning run, described by a RunConfig file.

  preflight  reads and checks every row, the tokenizer and all access; needs no GPU and no torch
  train      trains on what preflight accepted, and ends with a complete checkpoint
  evaluate   compares the tuned model with its base on the held-out rows
  publish    writes the model, its tokenizer and the manifest below the run's model/
  monitor    looks at published versions on fresh rows (the block `monitoring` of the RunConfig); no step of a run
  poll       lists the training data and counts its rows; no step of a run

In a cluster the operator starts these. On a laptop, write a RunConfig such as the one below (its workload is the spec
of a FineTuneJob) and run the four in order:

  for stage in preflight train evaluate publish; do python -m attune_trainer $stage --config run.json || break; done

{example}
"""
EXAMPLE = """\
{
  "version": "v1alpha1",
  "local": true,
  "run": {"id": "first", "name": "support-router", "namespace": "laptop", "stage": "Preflight", "attempt": 1},
  "runtime": {"name": "laptop"},
  "workload": {
    "model": {"source": "file:///home/me/models/base"},
    "method": "SFT",
    "tuning": {"type": "LoRA"},
    "dataset": {"train": ["file:///home/me/data/train.jsonl"]},
    "training": {"epochs": 3, "sequenceLength": 256},
    "resources": {"gpusPerNode": 0, "cpu": "4"},
    "output": {"uri": "file:///home/me/runs"}
  }
}
"""
_CODES = """\
exit codes:
  0 complete; 10 bad input; 11 bad configuration; 12 out of memory; 13 diverged (10 to 13: the same again would fail
  again); 20 store unreachable or something missing; 143 stopped on request; 1 a fault nobody foresaw

environment:
  ATTUNE_OUTCOME_PATH   file that takes the Outcome (default /dev/termination-log; printed where neither is there)
  ATTUNE_PROGRESS_PORT  port that answers /progress and /metrics (default 9400; none on a laptop)
  AWS_*, HF_TOKEN       keys for roles whose Secret the RunConfig does not name
"""


def parser() -> argparse.ArgumentParser:
    """The command line's grammar and help."""
    made = argparse.ArgumentParser(
        prog="attune_trainer",
        description=_HELP.replace("{example}", textwrap.indent(EXAMPLE, "  ")),
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "stage", choices=[stage.value.lower() for stage in Stage], metavar="stage", help="one of the above"
    )
    made.add_argument(
        "--config", type=Path, default=Path(RUN_CONFIG_PATH), metavar="FILE", help="RunConfig (default: %(default)s)"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one stage; returns its exit code."""
    asked = parser().parse_args(arguments)
    stage = Stage(asked.stage.capitalize())
    warnings.simplefilter("ignore", FutureWarning)  # libraries' notes to their own developers
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    document, config = configuration.read(asked.config)
    if isinstance(config, RunConfig) and launch.is_needed(config, stage, os.environ):
        return launch.run(config, asked.config, os.environ)
    last_words = partial(_say_stopped, document, stage, os.environ)
    stop.on_sigterm(last_words, outcomes.TERMINATED)
    if isinstance(config, RunConfig):
        imports.keep_out(imports.unused(config.workload, stage))
    outcome, code = attempt(document, config, stage, os.environ)
    _report(outcome, code, os.environ)
    return code


def _report(outcome: Outcome, code: int, environment: Mapping[str, str]) -> None:
    process = Process.of(environment)
    if launch.collects(environment):
        launch.leave(Path(environment[launch.FOLDER_VARIABLE]), process.rank, outcome, code)
    elif process.is_first:
        outcomes.emit(outcome, environment, sys.stdout)
    logging.getLogger(__name__).info("%s: %s: %s", outcome.stage.value, outcome.reason, outcome.message)


def attempt(
    document: dict[str, Any], config: RunConfig | Exception, stage: Stage, environment: MutableMapping[str, str]
) -> tuple[Outcome, int]:
    """One attempt at a stage, with every error turned into an Outcome.

    Args:
        document: the RunConfig as it was read.
        config: the same as a model, or what is wrong with it.
        stage: which stage.
        environment: the process's variables; what the Hub's client reads is set in them.

    Returns:
        What to report, and the exit code.
    """
    if isinstance(config, Exception):
        return outcomes.of_error(config, document, stage)
    try:
        hub.prepare(environment, config.workload)
        with tempfile.TemporaryDirectory(prefix="attune-") as scratch:
            outcome = _entry(stage)(_context(config, stage, environment, Path(scratch)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the operator must be told
        return outcomes.of_error(error, document, stage)
    return outcome, outcomes.exit_code_of(outcome)


def _context(config: RunConfig, stage: Stage, environment: MutableMapping[str, str], scratch: Path) -> Context:
    def now() -> datetime:
        return datetime.now(UTC)

    board = progress.Board(config.run.id, stage, config.run.attempt, now)
    if Process.of(environment).is_first:
        progress.serve(board, progress.port(config, environment))
    return Context(config, stage, environment, scratch, board, now, logging.getLogger("attune_trainer"))


def _entry(stage: Stage) -> Callable[[Context], Outcome]:
    """The stage's program, imported only now: preflight's image has no torch."""
    program = importlib.import_module(f"attune_trainer.stages.{stage.value.lower()}")
    entry: Callable[[Context], Outcome] = program.run
    return entry


def _say_stopped(document: dict[str, Any], stage: Stage, environment: MutableMapping[str, str]) -> None:
    if Process.of(environment).is_first and not launch.collects(environment):
        outcomes.emit(outcomes.stopped(document, stage), environment, sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
