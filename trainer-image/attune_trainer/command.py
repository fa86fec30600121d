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

from attune_contract.enums import OutcomeState, Stage
from attune_contract.outcome import Outcome
from attune_contract.runconfig import RUN_CONFIG_PATH, RunConfig
from attune_trainer import configuration, hub, imports, launch, logs, outcomes, progress, stop, supervision
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
_LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_CODES = """\
exit codes:
  0 complete; 10 bad input; 11 bad configuration; 12 out of memory; 13 diverged (10 to 13: the same again would fail
  again); 14 stalled; 20 store unreachable or something missing; 30 training stopped with a checkpoint saved, on
  request or out of budget; 143 stopped on request without one; 1 a fault nobody foresaw

environment:
  ATTUNE_OUTCOME_PATH   file that takes the Outcome (default /dev/termination-log; printed where neither is there)
  ATTUNE_PROGRESS_PORT  port that answers /progress and /metrics (default 9400; none on a laptop)
  ATTUNE_STALL_SECONDS  seconds without progress in training that are never a stall (default 120)
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
    logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT, stream=sys.stderr)
    document, config = configuration.read(asked.config)
    if isinstance(config, RunConfig) and launch.is_needed(stage, os.environ):
        imports.over()
        return supervision.run(config, asked.config, os.environ)
    known = config if isinstance(config, RunConfig) else None
    secrets = logs.Secrets(known, os.environ)
    tail = _tail(secrets)
    board = _board(known, stage, os.environ, secrets) if known else None
    last_words = partial(_say_stopped, document, stage, os.environ, board, secrets)
    stopper = stop.Stopper(last_words, outcomes.TERMINATED, known.grace_seconds if known else 0)
    stopper.listen()
    if launch.collects(os.environ):
        launch.report_for_duty(os.environ)
    if known:
        imports.keep_out(imports.unused(known, stage))
    outcome, code = attempt(document, config, stage, os.environ, board=board, stopper=stopper)
    logging.getLogger(__name__).info("%s: %s: %s", outcome.stage.value, outcome.reason, outcome.message)
    if known and outcome.state is OutcomeState.FAILED and not launch.collects(os.environ):
        outcome = outcome.model_copy(update={"log_tail": tail.last()})
        logs.leave_log(known, os.environ, stage, tail)
    _report(outcome, code, os.environ, secrets)
    return launch.exit_code(code, Process.of(os.environ), os.environ)


def _tail(secrets: logs.Secrets) -> logs.Tail:
    """Keeps what is logged from now on."""
    tail = logs.Tail(secrets.mask)
    handler = logs.Handler(tail)
    handler.setFormatter(logging.Formatter(_LOG_FORMAT))
    logging.getLogger().addHandler(handler)
    return tail


def _report(outcome: Outcome, code: int, environment: Mapping[str, str], secrets: logs.Secrets) -> None:
    process = Process.of(environment)
    if launch.collects(environment):
        launch.leave(Path(environment[launch.FOLDER_VARIABLE]), process.rank, outcome, code)
    elif process.is_first:
        outcomes.emit(outcome, environment, sys.stdout, secrets)


def attempt(
    document: dict[str, Any],
    config: RunConfig | Exception,
    stage: Stage,
    environment: MutableMapping[str, str],
    *,
    board: progress.Board | None = None,
    stopper: stop.Stopper | None = None,
) -> tuple[Outcome, int]:
    """One attempt at a stage, with every error turned into an Outcome.

    Args:
        document: the RunConfig as it was read.
        config: the same as a model, or what is wrong with it.
        stage: which stage.
        environment: the process's variables; what the Hub's client reads is set in them.
        board: where the stage says how far it is; left out: one of its own.
        stopper: knows whether the pod must go; left out: it need not.

    Returns:
        What to report, and the exit code.
    """
    if isinstance(config, Exception):
        return outcomes.of_error(config, document, stage)
    board = board or _board(config, stage, environment)
    heart = launch.heart_of(environment)
    heart.allow("fetching model and data")
    try:
        hub.prepare(environment, config.workload)
        # What is left behind goes with the pod: a file that cannot be removed must not fail a stage that is done.
        with tempfile.TemporaryDirectory(prefix="attune-", ignore_cleanup_errors=True) as scratch:
            log = logging.getLogger("attune_trainer")
            stopper = stopper or stop.never()
            given = Context(config, stage, environment, Path(scratch), board, _now, log, stopper, heart)
            if Process.of(environment).is_first:
                progress.serve(board, progress.port(config, environment))
            outcome = _entry(stage)(given)
    except Exception as error:  # noqa: BLE001 - whatever it is, the operator must be told
        return outcomes.of_error(error, document, stage, board.kept())
    return outcome, outcomes.exit_code_of(outcome)


def _now() -> datetime:
    return datetime.now(UTC)


def _board(
    config: RunConfig, stage: Stage, environment: Mapping[str, str], mask: Callable[[str], str] = lambda text: text
) -> progress.Board:
    """Where the stage says how far it is; of training, what is kept is left for the process that watches over it."""
    tells = launch.collects(environment) and Process.of(environment).is_first
    on_keep = partial(launch.leave_kept, environment) if tells else lambda _: None
    return progress.Board(config.run.id, stage, config.run.attempt, _now, on_keep=on_keep, mask=mask)


def _entry(stage: Stage) -> Callable[[Context], Outcome]:
    """The stage's program, imported only now: preflight's image has no torch."""
    program = importlib.import_module(f"attune_trainer.stages.{stage.value.lower()}")
    imports.over()
    entry: Callable[[Context], Outcome] = program.run
    return entry


def _say_stopped(
    document: dict[str, Any],
    stage: Stage,
    environment: Mapping[str, str],
    board: progress.Board | None,
    secrets: logs.Secrets,
) -> None:
    outcome = outcomes.stopped(document, stage, board.kept() if board else {})
    _report(outcome, outcomes.TERMINATED, environment, secrets)
