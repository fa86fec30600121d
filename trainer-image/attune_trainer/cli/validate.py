"""`attune validate`: what preflight's pod examines, without a cluster or an output, and perhaps without a model."""

import re
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attune_contract import uris
from attune_contract.enums import ExitCode
from attune_contract.outcome import RowError, Validation
from attune_trainer import hub, models, support
from attune_trainer.cli import manifests
from attune_trainer.cli.manifests import Given, Job
from attune_trainer.data import detect, general, objects, report
from attune_trainer.data.check import Progress
from attune_trainer.data.problems import ProblemLog
from attune_trainer.errors import BlockedError, InvalidConfigurationError, ModelNotFoundError, StageError, blocked
from attune_trainer.estimate.limits import Refusal
from attune_trainer.evaluation import needs
from attune_trainer.evaluation.textmetrics import structure
from attune_trainer.examination import Examination, Subject, examine
from attune_trainer.storage.file import FileStore, uri_of
from attune_trainer.storage.resolve import Stores

JSON = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What is said of one job.

    Args:
        name: of the job.
        report: validation.json without its errors.
        errors: every problem, in order.
        verdict: in a sentence.
        code: the exit code.
        page: the report as a page; None where the examination could not begin.
        notes: what was not looked at, and why.
    """

    name: str
    report: JSON
    errors: tuple[JSON, ...]
    verdict: str
    code: int
    page: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def document(self) -> JSON:
        """The same object as reports/validation.json."""
        return self.report | {"errors": list(self.errors)}


class _TokenizerAlone(models.BaseModel):
    """A folder with a tokenizer and no model: enough to count tokens."""

    def config(self) -> JSON:
        return {}


@dataclass(frozen=True)
class Validate:
    """Examines jobs.

    Args:
        environment: the process's variables: keys for stores, and what the Hub's client reads is set in them.
        scratch: an empty folder that goes away afterwards.
        on_progress: told how far reading is.
        uses_model: whether the model is looked at; without, no tokens are counted.
    """

    environment: MutableMapping[str, str]
    scratch: Path
    on_progress: Callable[[Progress], None]
    uses_model: bool = True

    def job(self, job: Job) -> Result:
        """One job of a manifest."""
        folder = self.scratch / f"job-{len(list(self.scratch.iterdir()))}"
        folder.mkdir()
        try:
            return self._examine(job, folder)
        except StageError as error:
            return of_error(error, job.name)

    def data(self, given: Given) -> Result:
        """Data that is named by options. Without a method or format, the first that reads the rows is taken."""
        tried = [manifests.from_options(given, method) for method in manifests.methods_for(given)]
        return self.job(self._fitting(tried) if len(tried) > 1 else tried[0])

    def _fitting(self, tried: list[Job]) -> Job:
        problems = ProblemLog(self.scratch / "looking.jsonl")
        data = tried[0].config.workload.dataset
        stores = Stores(tried[0].config, self.environment)
        found = objects.find(stores, data.train, data.test, problems, [])
        for job in tried:
            if found.files and self._reads(job, found.files):
                return job
        return next(job for job in tried if job.config.workload.method == "SFT")

    def _reads(self, job: Job, files: tuple[objects.DataFile, ...]) -> bool:
        try:
            return detect.choose(job.config.workload, files, self.scratch) is not None
        except InvalidConfigurationError:  # columns that are no fields of this method's formats: another one's, perhaps
            return False

    def _examine(self, job: Job, folder: Path) -> Result:
        config = job.config
        support.demand(config)
        structure.check(config.workload.evaluation.metrics or ())
        hub.prepare(self.environment, config.workload)
        stores = Stores(config, self.environment)
        problems = ProblemLog(folder / "problems.jsonl")
        missing: list[BlockedError] = []
        wants_model = job.has_model and self.uses_model
        source = models.ModelSource(config, stores)
        listing = self._look(job, source, missing) if wants_model else None
        data = config.workload.dataset
        found = objects.find(stores, data.train, data.test, problems, missing)
        texts = general.find(config.workload, stores, problems, missing)
        if wants_model:
            needs.look(config, stores, missing)
        if missing:
            raise blocked(missing)
        general.read(config.workload, texts, problems, folder)
        base = self._base(job, source, listing) if listing else None
        subject = Subject(config, found, base, source if job.estimates else None, folder, self.on_progress, None)
        examined = examine(subject, problems)
        if not examined.unusable:
            needs.check_judgements(config.workload, stores, examined.checked.sides.test, folder)
        return _of(job, examined, problems, wants_model=wants_model)

    def _look(self, job: Job, source: models.ModelSource, missing: list[BlockedError]) -> models.Listing | None:
        parsed = uris.parse(source.uri) if source.uri.startswith(("file:", "pvc:")) else None
        if parsed and parsed.scheme == "pvc":
            text = (
                f"{models.FIELD}: {source.uri} is a volume of the cluster; name a copy with --model, or use --no-model"
            )
            missing.append(ModelNotFoundError(text))
            return None
        if parsed and not job.estimates:  # a tokenizer is enough where nothing is estimated
            return _listing(Path(parsed.path), source.uri, missing)
        try:
            return source.look()
        except BlockedError as error:
            missing.append(error)
            return None

    def _base(self, job: Job, source: models.ModelSource, listing: models.Listing) -> models.BaseModel:
        if "config.json" not in listing.files:
            folder, template = Path(uris.parse(source.uri).path), job.config.workload.model.chat_template
            return _TokenizerAlone(listing, folder, trust_remote_code=False, chat_template=template)
        base = source.fetch(listing, weights=False)
        if job.estimates:
            models.check_small_files(base)
        return base


def of_error(error: StageError, name: str) -> Result:
    """A job that could not be examined, in the same shape as one that was."""
    code = re.sub(r"(?<!^)(?=[A-Z])", "_", error.reason).lower()
    problem = RowError(code=code, file=name, message=str(error))
    validation = Validation(error_count=1, errors=(problem,))
    head = report.head(validation, {"counts": {code: 1}})
    return Result(name, head, (_plain(problem),), str(error), int(error.exit_code))


def _of(job: Job, found: Examination, problems: ProblemLog, *, wants_model: bool) -> Result:
    refusal = found.judgement.refusal
    code = ExitCode.BAD_INPUT if found.unusable else ExitCode.BAD_CONFIGURATION if refusal else ExitCode.DONE
    errors = list(problems.all())
    if refusal:
        kind = refusal.kind if isinstance(refusal, Refusal) else type(refusal)
        told = of_error(kind(getattr(refusal, "message", None) or str(refusal)), job.name)
        errors += told.errors
    without = "No model was named, so tokens are not counted (--model PATH_OR_URI)."
    return Result(
        name=job.name,
        report=found.report,
        errors=tuple(errors),
        verdict=found.verdict,
        code=int(code),
        page=found.page.read_text(encoding="utf-8"),
        notes=() if wants_model else (without,),
    )


def _listing(folder: Path, uri: str, missing: list[BlockedError]) -> models.Listing | None:
    """What is in a local folder, be it a model or a tokenizer alone."""
    if not folder.is_dir():
        missing.append(ModelNotFoundError(f"{models.FIELD}: {uri}: there is no such folder"))
        return None
    prefix = uri_of(folder) + "/"
    files = {info.uri.removeprefix(prefix): info.etag for info in FileStore().list(prefix)}
    return models.Listing(uri, {name: etag for name, etag in files.items() if "/" not in name})


def _plain(error: RowError) -> JSON:
    return error.model_dump(mode="json", exclude_none=True)
