"""What the evaluation reads beside model and data, looked at before anything is trained. No torch here.

A baseline that is not there, or votes on rows that nobody holds out, would otherwise end a run after its training.
"""

from pathlib import Path

from attune_contract.enums import MetricName, Role
from attune_contract.runconfig import RunConfig
from attune_contract.spec import Metric, Workload
from attune_trainer import models
from attune_trainer.data import canonical
from attune_trainer.errors import BlockedError, ObjectNotFoundError, StageError
from attune_trainer.evaluation.others import source_of
from attune_trainer.evaluation.textmetrics import judgements
from attune_trainer.storage.resolve import Stores

BASE = "base"


def look(config: RunConfig, stores: Stores, missing: list[BlockedError]) -> None:
    """Looks whether every baseline's model is there and can be loaded, and whether the file of judgements is there.

    Args:
        config: the run.
        stores: opens the stores.
        missing: takes what a person must provide first.

    Raises:
        InvalidConfigurationError: a model is there, and cannot be used.
        ObjectNotFoundError: the file of judgements is not there, in a bucket that is.
    """
    for i, asked in enumerate(config.workload.evaluation.baselines):
        if asked.source is not None:
            _look_at_model(config, stores, (f"spec.evaluation.baselines[{i}].source", asked.source), missing)
    place, ratings = asked_of_people(config.workload)
    if ratings is None:
        return
    try:
        stores.open(Role.DATA, ratings).head(ratings)
    except BlockedError as error:
        missing.append(_named(error, place))
    except ObjectNotFoundError as error:
        raise ObjectNotFoundError(f"{place}: {error}") from error


def check_judgements(work: Workload, stores: Stores, test: Path, scratch: Path) -> Path | None:
    """Reads what people said of the answers, and joins it with the held-out rows.

    Args:
        work: the manifest's blocks.
        stores: opens the stores.
        test: parquet of the held-out rows.
        scratch: a folder.

    Returns:
        A copy of the file, with its ending; None where HumanPreference is not asked for.

    Raises:
        InvalidDataError: the file cannot be used, with every problem.
        StageError: it cannot be read.
    """
    _, ratings = asked_of_people(work)
    if ratings is None:
        return None
    rows = [row.row_id for row in canonical.read(test, canonical.kind_of(work.method))]
    file = scratch / f"judgements{'.csv' if ratings.endswith('.csv') else '.jsonl'}"
    stores.open(Role.DATA, ratings).get(ratings, file)
    judgements.read(file, rows, baselines(work), ratings)
    return file


def asked_of_people(work: Workload) -> tuple[str, str | None]:
    """Field and URI of the file of judgements; None where HumanPreference is not asked for."""
    asked: tuple[Metric, ...] = work.evaluation.metrics or ()
    found = next(((i, m) for i, m in enumerate(asked) if m.name is MetricName.HUMAN_PREFERENCE), None)
    return ("", None) if found is None else (f"spec.evaluation.metrics[{found[0]}].ratings", found[1].ratings)


def baselines(work: Workload) -> list[str]:
    """Names of all that the tuned model is compared with; the base is always among them."""
    return list(dict.fromkeys([BASE, *(baseline.name for baseline in work.evaluation.baselines)]))


def _look_at_model(config: RunConfig, stores: Stores, at: tuple[str, str], missing: list[BlockedError]) -> None:
    field, source = at
    try:
        source_of(config, stores, source).look()
    except BlockedError as error:
        missing.append(_named(error, field))
    except StageError as error:
        raise type(error)(str(error).replace(models.FIELD, field)) from error


def _named(error: BlockedError, field: str) -> BlockedError:
    text = str(error).replace(models.FIELD, field)
    return type(error)(text if text.startswith("spec.") else f"{field}: {text}")
