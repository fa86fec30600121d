"""The command line of `attune`."""

import argparse
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from attune_contract.enums import ClassificationStyle, DataFormat, DataWarning, ExitCode, Method
from attune_trainer.cli import manifests, rerun
from attune_trainer.cli.manifests import Given
from attune_trainer.cli.validate import Result, Validate, of_error
from attune_trainer.errors import StageError

W = TypeVar("W", bound=StrEnum)
_DESCRIPTION = """\
Checks data for fine-tuning before anything is trained: every row of every file, with the same code and the same
messages as the check that runs in the cluster. Nothing is written, and nothing is sent anywhere.

It tells of every error (a broken row, a missing field, an empty answer, a prompt that is too long, …) with file, line
and field, warns of what is doubtful (duplicates, test rows that are in train too, secrets, personal data, …), and
counts rows and tokens. Given a manifest, it also estimates what training would take.
"""
_EPILOG = """\
examples:
  attune validate --data train.jsonl
      checks one file; its format is recognised
  attune validate --data train.jsonl --test test.jsonl --format Chat --model ./models/qwen
      counts tokens too, with the tokenizer in that folder
  attune validate --data answers.csv --format PromptCompletion --column prompt=question --column completion=answer
      reads columns of other names
  attune validate -f job.yaml
      checks what a FineTuneJob names: data, model, settings; and estimates it
  attune validate -f job.yaml --no-model --output json > report.json
      for CI without access to the model; the object is that of reports/validation.json

formats:
  Chat              {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}
  PromptCompletion  {"prompt": "…", "completion": "…"}
  Preference        {"prompt": "…", "chosen": "…", "rejected": "…"}
  Rated             {"prompt": "…", "completion": "…", "label": true}
  Text              {"text": "…"}, or .txt files
  Labeled           {"text": "…", "label": "…"}
  Files end in .jsonl, .json, .csv, .tsv, .parquet or .txt, and may be compressed (.gz, .zst).

exit codes:
  0   the data can be used (there may be warnings)
  10  it cannot: rows or files have errors
  11  the manifest or an option asks for something impossible
  20  a store cannot be reached, or a model, bucket or key is missing

environment:
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL for s3://; HF_TOKEN for hf://
"""
_RERUN = """\
Writes a FineTuneJob that repeats the run that a published model came from. It reads the model's manifest.json, makes
sure that nobody changed it, and writes everything out that the run had decided by itself: the base's commit, the files,
the learning rate, the metrics. What a FineTuneJob cannot pin stands above it as comments. Nothing is started.
"""
_RERUN_EPILOG = """\
examples:
  attune rerun --manifest s3://models/support/runs/2f1c…/manifest.json --name support-again | kubectl create -f -
  attune rerun --manifest ./out/runs/try-1 > again.yaml

exit codes:
  0   the FineTuneJob is on standard output
  10  there is no such manifest, or it was changed since it was written
  11  the URI is none
  20  a store cannot be reached, or a bucket or key is missing

environment: as for validate
"""
_WIDTH = 120
"""Columns where the output is no terminal, such as in the log of CI."""
_SEVERITY = (ExitCode.DONE, ExitCode.BAD_INPUT, ExitCode.BAD_CONFIGURATION, ExitCode.STORE_UNREACHABLE)


def parser() -> argparse.ArgumentParser:
    """The command line's grammar and help."""
    made = argparse.ArgumentParser(prog="attune", description="Fine-tuning language models: tools for people and CI.")
    commands = made.add_subparsers(dest="command", required=True, metavar="command")
    validate = commands.add_parser(
        "validate",
        help="check data (and a FineTuneJob) before anything is trained",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = validate.add_argument_group("what to check (one of these)")
    one = what.add_mutually_exclusive_group(required=True)
    one.add_argument("-f", "--file", type=Path, metavar="JOB.YAML", help="manifest with one or more FineTuneJobs")
    one.add_argument(
        "--data", action="append", metavar="FILE", help="file, folder, glob or s3:// URI to train on; may be repeated"
    )
    _add_data_options(validate.add_argument_group("with --data"))
    model = validate.add_argument_group("the model")
    model.add_argument("--model", metavar="PATH_OR_URI", help="folder, s3:// or hf:// with the model or its tokenizer")
    model.add_argument("--no-model", action="store_true", help="do not look at the manifest's model; count no tokens")
    output = validate.add_argument_group("output")
    output.add_argument("--output", choices=["table", "json"], default="table", help="default: table")
    output.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page, too")
    output.add_argument("--errors", type=int, default=20, metavar="N", help="errors in the table (default: 20)")
    _add_rerun(commands)
    return made


def _word(kind: type[W], text: str) -> W:
    """One of an enumeration's words, in whatever case it is typed."""
    found = next((member for member in kind if member.value.lower() == text.lower()), None)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(member.value for member in kind)}")
    return found


def _add_rerun(commands: Any) -> None:
    rerun = commands.add_parser(
        "rerun",
        help="write a FineTuneJob that repeats the run of a published model",
        description=_RERUN,
        epilog=_RERUN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rerun.add_argument(
        "--manifest", required=True, metavar="URI", help="s3:// URI or path of manifest.json, or of the run's folder"
    )
    rerun.add_argument("--name", metavar="NAME", help="of the new FineTuneJob (default: that of the run with -rerun)")


def _add_data_options(group: Any) -> None:
    group.add_argument("--test", action="append", default=[], metavar="FILE", help="held-out data; may be repeated")
    group.add_argument(
        "--format",
        type=partial(_word, DataFormat),
        default=DataFormat.AUTO,
        metavar="FORMAT",
        help="one of the formats below (default: Auto looks at the first rows)",
    )
    group.add_argument(
        "--method",
        type=partial(_word, Method),
        metavar="METHOD",
        help=f"{', '.join(Method)} (default: what the format is for)",
    )
    group.add_argument(
        "--sequence-length", type=int, default=2048, metavar="TOKENS", help="longest row (default: %(default)s)"
    )
    group.add_argument(
        "--column", action="append", default=[], type=_pair, metavar="FIELD=NAME", help="what a field is called here"
    )
    group.add_argument(
        "--style",
        type=partial(_word, ClassificationStyle),
        default=ClassificationStyle.TOKEN,
        metavar="STYLE",
        help="Token or Head: how labels are learnt (Labeled; default: Token, for which a label must be one token)",
    )
    group.add_argument("--desirable-from", type=float, metavar="SCORE", help="lowest wanted score (Rated)")
    group.add_argument(
        "--strict",
        type=lambda text: tuple(_word(DataWarning, word.strip()) for word in text.split(",")),
        default=(),
        metavar="WARNINGS",
        help="warnings that count as errors, such as leakage,secrets",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    asked = parser().parse_args(arguments)
    warnings.simplefilter("ignore")  # libraries' notes to their own developers
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    return _rerun(asked) if asked.command == "rerun" else _validate(asked)


def _rerun(asked: argparse.Namespace) -> int:
    uri = manifests.located(asked.manifest, Path.cwd()).rstrip("/")
    try:
        print(rerun.text(rerun.fetch(uri, os.environ), uri, asked.name), end="")  # noqa: T201
    except StageError as error:
        print(f"attune: {error}", file=sys.stderr)  # noqa: T201
        return int(error.exit_code)
    return int(ExitCode.DONE)


def _validate(asked: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="attune-") as scratch:
        results = _results(asked, os.environ, Path(scratch))
    _tell(asked, results)
    return max((result.code for result in results), key=_severity)


def _results(asked: argparse.Namespace, environment: MutableMapping[str, str], scratch: Path) -> list[Result]:
    name = str(asked.file) if asked.file else ", ".join(asked.data)
    with _progress(quiet=asked.output == "json") as on_progress:
        validate = Validate(environment, scratch, on_progress, uses_model=not asked.no_model)
        try:
            if asked.file:
                return [validate.job(job) for job in manifests.read(asked.file, asked.model)]
            return [validate.data(_given(asked))]
        except StageError as error:
            return [of_error(error, name)]


def _given(asked: argparse.Namespace) -> Given:
    return Given(
        train=tuple(asked.data),
        test=tuple(asked.test),
        format=asked.format,
        method=asked.method,
        model=None if asked.no_model else asked.model,
        sequence_length=asked.sequence_length,
        columns=dict(asked.column),
        desirable_from=asked.desirable_from,
        strict=asked.strict,
        style=asked.style,
    )


def _tell(asked: argparse.Namespace, results: list[Result]) -> None:
    if asked.html:
        _write_pages(asked.html, results)
    if asked.output == "json":
        documents = [result.document for result in results]
        print(json.dumps(documents[0] if len(documents) == 1 else documents, indent=2, ensure_ascii=False))  # noqa: T201
        return
    from rich.console import Console

    from attune_trainer.cli import terminal

    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    for result in results:
        terminal.show(console, result, asked.errors)


def _write_pages(path: Path, results: list[Result]) -> None:
    """One page per job that could be examined: the first at the path itself, others beside it by number."""
    for number, result in enumerate((r for r in results if r.page), start=1):
        target = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
        try:
            target.write_text(result.page or "", encoding="utf-8")
        except OSError as error:
            raise SystemExit(f"attune: --html {target}: {error.strerror}") from error


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Any]:
    """Tells on a terminal how far reading is; elsewhere nothing."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda progress: bar.update(task, completed=progress.rows, total=progress.total or None)


def _pair(text: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not (name and equals and column):
        raise argparse.ArgumentTypeError(f"{text}: write FIELD=NAME, such as prompt=question")
    return name, column


def _severity(code: int) -> int:
    return _SEVERITY.index(ExitCode(code)) if code in _SEVERITY else len(_SEVERITY)


if __name__ == "__main__":
    sys.exit(main())
