"""Base and tuned in one pass beside two runs, and the memory of it: what is measured, and the report at the end."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.evaluation_rows import run_config, write_data, write_model
from benchmarks.report import Figure, dump, table
from benchmarks.samples import keep, kept, measured, say

JSON = dict[str, Any]
EXPLAINED = """\
Measures the evaluation of a small model on this machine's CPU, and prints what it found beside what we aim at. Falling
short is shown, and is no failure.

  one pass  base and tuned by one process, as the stage does it: rows tokenised once, with LoRA one load for both
  two runs  base by one process, tuned by another; the same batches and the same code
  again     one pass by another run over the same base and rows, which takes the base's scores from the first
  stage     the whole stage with statistics and reports: its time, and the most memory that its process had

Every part is a process of its own, timed from its start to its end; parts take turns. What two models cannot share is
their forward passes: the more rows, the less loading weighs, and the nearer one pass comes to the time of two runs.
"""
ROWS = (1_000, 10_000)
TUNINGS = ("LoRA", "Full")
_SIDES = {"both": ("base", "tuned"), "again": ("base", "tuned"), "base": ("base",), "tuned": ("tuned",)}
_MIB = 1 << 20
_AIM = 60.0  # percent
_MAY_GROW = 32.0  # MiB of figures and row ids for 9,000 rows more, and what an allocator makes of it


@dataclass(frozen=True)
class Spent:
    """What one process took."""

    seconds: float
    cpu_seconds: float
    """Its own and the system's for it: what neighbours on the machine disturb least."""
    peak_bytes: int
    said: str
    """The last line of its output."""

    @property
    def working(self) -> float:
        """Of a part: seconds without the start of Python and the import of libraries."""
        return float(json.loads(self.said)["seconds"])


def main(argv: list[str] | None = None) -> int:
    """Runs the bench; 1 where something could not be measured, 130 when interrupted."""
    options = _parser().parse_args(argv)
    if options.part:
        _score(options.config, _SIDES[options.part])
        return 0
    return measured(lambda folder: _bench(options, folder), options.scratch)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks/evaluation.py", description=EXPLAINED, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    several = ",".join(map(str, ROWS))
    parser.add_argument("--rows", default=several, metavar="N,N", help="held-out rows (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="times that each is measured (default: 1)")
    parser.add_argument("--tunings", default=",".join(TUNINGS), help="default: %(default)s")
    parser.add_argument("--scratch", type=Path, metavar="FOLDER", help="for the runs (default: the system's)")
    hidden = parser.add_argument_group("the parts, which the bench starts by itself")
    hidden.add_argument("--part", choices=list(_SIDES), help=argparse.SUPPRESS)
    hidden.add_argument("--config", type=Path, help=argparse.SUPPRESS)
    return parser


def _bench(options: argparse.Namespace, folder: Path) -> None:
    write_model(folder / "model")
    counts = [int(text) for text in options.rows.split(",")]
    for rows in counts:
        write_data(folder / "data" / str(rows), rows)
    figures: list[Figure] = []
    samples: JSON = {}
    for tuning in options.tunings.split(","):
        stages = {}
        for rows in counts:
            output = folder / tuning / str(rows)
            configs = [_trained(folder, output, run, tuning, rows) for run in ("run-1", "run-2")]
            say(f"{tuning}, {rows} rows: trained")
            rounds = [_round(configs, output) for _ in range(options.rounds)]
            stages[rows] = rounds[0]["stage"]
            figures += _ratios(f"{tuning}, {rows:,} rows", rounds)
            samples[f"{tuning}-{rows}"] = [{part: asdict(spent) for part, spent in r.items()} for r in rounds]
        figures += _memory(tuning, stages)
    print(f"\n{table(figures)}\n", flush=True)
    machine = f"{os.cpu_count()} cores with a load of {os.getloadavg()[0]:.1f} afterwards"
    say(f"all samples: {keep(kept(), 'evaluation', dump(figures, machine=machine, samples=samples))}")


def _ratios(what: str, rounds: list[dict[str, Spent]]) -> list[Figure]:
    """Each time is the quickest of the rounds, since all that disturbs makes it slower."""
    parts = ("base", "tuned", "both", "again")
    wall = {part: min(r[part].seconds for r in rounds) for part in parts}
    cpu = {part: min(r[part].cpu_seconds for r in rounds) for part in parts}
    work = {part: min(r[part].working for r in rounds) for part in parts}
    stage = min(r["stage"].seconds for r in rounds)
    return [
        Figure(f"{what}: one pass, of two runs' time", _share(wall, "both"), "%", _AIM, beside=_told(wall, "both")),
        Figure(f"{what}: the same in seconds of CPU", _share(cpu, "both"), "%", beside=_told(cpu, "both")),
        Figure(f"{what}: the same without starting Python", _share(work, "both"), "%", beside=_told(work, "both")),
        Figure(f"{what}: a later run over that base", _share(wall, "again"), "%", _AIM, beside=_told(wall, "again")),
        Figure(f"{what}: the same in seconds of CPU", _share(cpu, "again"), "%", beside=_told(cpu, "again")),
        Figure(f"{what}: the whole stage", stage, "s", beside="with statistics, predictions and reports"),
    ]


def _share(best: dict[str, float], part: str) -> float:
    return 100 * best[part] / (best["base"] + best["tuned"])


def _told(best: dict[str, float], part: str) -> str:
    return f"{best[part]:.1f} s; base {best['base']:.1f} s + tuned {best['tuned']:.1f} s"


def _memory(tuning: str, stages: dict[int, Spent]) -> list[Figure]:
    if len(stages) == 1:
        return []
    few, many = min(stages), max(stages)
    peaks = {rows: spent.peak_bytes / _MIB for rows, spent in stages.items()}
    beside = ", ".join(f"{peak:.0f} MiB at {rows:,} rows" for rows, peak in peaks.items())
    grown = peaks[many] - peaks[few]
    return [Figure(f"{tuning}: growth of the stage's memory", grown, "MiB", _MAY_GROW, beside=beside)]


def _round(configs: list[Path], output: Path) -> dict[str, Spent]:
    """All parts once. What one leaves is removed before the next, but before `again`, which is about that."""
    first, second = configs
    found = {}
    for part in ("base", "tuned", "both"):
        _forget(output)
        found[part] = _part(part, first)
    found["again"] = _part("again", second)
    _forget(output)
    found["stage"] = _stage("evaluate", first)
    say("  " + ", ".join(f"{name} {spent.seconds:.1f} s" for name, spent in found.items()))
    return found


def _forget(output: Path) -> None:
    for run in (output / "runs").iterdir():
        shutil.rmtree(run / "scores", ignore_errors=True)
        (run / "results" / "evaluate.json").unlink(missing_ok=True)


def _trained(folder: Path, output: Path, run: str, tuning: str, rows: int) -> Path:
    """A run up to its evaluation; returns its RunConfig."""
    config = output / f"{run}.json"
    config.parent.mkdir(parents=True, exist_ok=True)
    data = folder / "data" / str(rows)
    config.write_text(json.dumps(run_config(folder / "model", data, output, run, tuning)))
    for stage in ("preflight", "train"):
        _stage(stage, config)
    return config


def _part(part: str, config: Path) -> Spent:
    return _spent([str(Path(__file__).with_name("evaluation.py")), "--part", part, "--config", str(config)])


def _stage(stage: str, config: Path) -> Spent:
    return _spent(["-m", "attune_trainer", stage, "--config", str(config)])


def _spent(arguments: list[str]) -> Spent:
    """Runs Python; its own peak of memory, which only the system knows of a process that has ended."""
    command = [sys.executable, *arguments]
    with tempfile.TemporaryFile("w+") as told:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=told, stderr=told)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        told.seek(0)
        said = told.read()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=said)
    cpu = usage.ru_utime + usage.ru_stime
    return Spent(seconds, cpu, usage.ru_maxrss * 1024, said.strip().rpartition("\n")[2])


def _score(config: Path, names: tuple[str, ...]) -> None:
    """The stage's own way from the checkpoint to scores, for some of its models."""
    import logging

    from attune_contract.enums import Stage
    from attune_contract.runconfig import RunConfig
    from attune_trainer import results
    from attune_trainer.context import Context
    from attune_trainer.evaluation import comparison
    from attune_trainer.evaluation.pace import Pace
    from attune_trainer.progress import Board
    from attune_trainer.stages import evaluate

    def now() -> datetime:
        return datetime.now(UTC)

    began = time.perf_counter()
    asked = RunConfig.model_validate_json(config.read_text())
    board = Board(asked.run.id, Stage.EVALUATE, 1, now)
    with tempfile.TemporaryDirectory() as scratch:
        log = logging.getLogger("bench")
        context = Context(asked, Stage.EVALUATE, dict(os.environ), Path(scratch), board, now, log)
        prepared = evaluate.prepare(context, results.inputs_of(asked, Stage.EVALUATE, context.run))
        sides = [side for side in prepared.setting.sides if side.name in names]
        pace = Pace(board, sum(len(side.kind.rows) for side in sides))
        comparison.score(sides, prepared.models, prepared.kept, pace)
    print(json.dumps({"seconds": time.perf_counter() - began}))
