"""General text for spec.evaluation.forgetting: read once by preflight, like everything else, and left as documents."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from attune_contract.enums import DataFormat, Method
from attune_contract.outcome import RowError
from attune_contract.spec import Dataset, Evaluation, Workload
from attune_trainer.data import canonical, detect, objects
from attune_trainer.data.check import Reader
from attune_trainer.data.problems import ProblemLog
from attune_trainer.data.quality import observer
from attune_trainer.errors import BlockedError
from attune_trainer.storage.resolve import Stores

FIELD = "spec.evaluation.forgetting.dataset"
_ELSEWHERE = "spec.dataset.train"


def find(
    work: Workload, stores: Stores, problems: ProblemLog, missing: list[BlockedError]
) -> tuple[objects.DataFile, ...]:
    """Looks up the files; none where forgetting is not asked for.

    Args:
        work: the manifest's blocks.
        stores: opens the stores.
        problems: takes what is not there.
        missing: takes what a person must provide first.
    """
    asked = work.evaluation.forgetting
    if asked is None:
        return ()
    here = ProblemLog(problems.path.with_name("problems-general-objects.jsonl"))
    blocked: list[BlockedError] = []
    found = objects.find(stores, asked.dataset, (), here, blocked)
    missing += [type(error)(_named(str(error))) for error in blocked]
    _pass_on(here, problems)
    return tuple(replace(file, field=_named(file.field)) for file in found.files)


def read(work: Workload, files: tuple[objects.DataFile, ...], problems: ProblemLog, scratch: Path) -> Path | None:
    """Reads every text, however long the files; what is wrong with one is a problem of the data.

    Args:
        work: the manifest's blocks.
        files: as `find` found them.
        problems: takes everything that is wrong.
        scratch: a folder.

    Returns:
        Parquet of documents; None where there is nothing to read.
    """
    asked = work.evaluation.forgetting
    if asked is None or not files:
        return None
    folder = scratch / "general"
    folder.mkdir(exist_ok=True)
    here = ProblemLog(folder / "problems.jsonl")
    documents = _as_documents(work, asked.dataset)
    target = folder / "general.parquet"
    choice = detect.choose(documents, files, folder)
    with canonical.Writer(target, canonical.DOCUMENT) as writer, ThreadPoolExecutor(1) as pool:
        reader = Reader(
            format=choice.format if choice else detect.pass_over(documents),
            measure=None,
            problems=here,
            writer=writer,
            observer=observer.new(None),
            labels=None,
            scratch=folder,
            has_template=False,
            on_progress=lambda _: None,
            total_bytes=sum(file.info.size for file in files),
            pool=pool,
        )
        for file in files:
            reader.read(file)
    if reader.passed_over:
        text = "no row has `text`; name .txt files, or .jsonl and the like with a column of that name"
        here.add(RowError(code="missing_column", file=reader.passed_over[0], field=FIELD, message=text))
    _pass_on(here, problems)
    return target if canonical.count(target) else None


def _as_documents(work: Workload, uris: tuple[str, ...]) -> Workload:
    """The same run, as though it learnt from the general text: rows need a `text`."""
    given = Dataset(train=uris, format=DataFormat.TEXT, credentials_secret=work.dataset.credentials_secret)
    return work.model_copy(
        update={
            "method": Method.CONTINUED_PRETRAINING,
            "dataset": given,
            "evaluation": Evaluation(),
            "classification": None,
        }
    )


def _pass_on(here: ProblemLog, problems: ProblemLog) -> None:
    for found in here.all():
        error = RowError.model_validate(found)
        told = {"message": _named(error.message), "field": _named(error.field) if error.field else None}
        problems.add(error.model_copy(update=told))


def _named(text: str) -> str:
    return text.replace(_ELSEWHERE, FIELD)
