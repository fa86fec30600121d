"""Problems of the data as a whole, which show once all rows are read."""

from typing import TYPE_CHECKING, Any

from attune_contract.enums import Method
from attune_contract.outcome import RowError
from attune_trainer.data import figures
from attune_trainer.data.check import Reader
from attune_trainer.data.encoding.select import encoder_for

if TYPE_CHECKING:
    from attune_trainer.data.dataset import Request

MIN_TRAIN_ROWS = 2
MIN_TEST_ROWS = 1


def judge(request: "Request", reader: Reader, sides: figures.Sides, tokenizer: Any | None) -> None:
    """Adds to the reader's problems what is wrong with the whole.

    Args:
        request: what was asked of the dataset.
        reader: has read all files.
        sides: what they came to.
        tokenizer: the model's, where it has one.
    """
    for error in (
        *_too_few(request, sides),
        *_one_sided(request, sides),
        *_open_set(request, sides),
        *_unsayable(request, reader, tokenizer),
    ):
        reader.problems.add(error)


def _too_few(request: "Request", sides: figures.Sides) -> list[RowError]:
    return [
        _whole(
            request,
            "too_few_rows",
            field,
            f"{rows} usable rows are left for {name}, and at least {least} are needed",
        )
        for name, rows, least, field in (
            ("training", sides.train_rows, MIN_TRAIN_ROWS, "spec.dataset.train"),
            ("evaluation", sides.test_rows, MIN_TEST_ROWS, _test_field(request)),
        )
        if rows < least
    ]


def _one_sided(request: "Request", sides: figures.Sides) -> list[RowError]:
    """KTO learns, and is measured, by the difference of wanted and unwanted answers: each side needs both."""
    if request.work.method is not Method.KTO:
        return []
    return [
        _whole(request, "too_few_rows", field, f"no usable row for {name} is {sort}, and at least one is needed")
        for name, labels, field in (
            ("training", sides.labels[0], "spec.dataset.train"),
            ("evaluation", sides.labels[1], _test_field(request)),
        )
        for sort in ("desirable", "undesirable")
        if labels and sort not in labels
    ]


def _open_set(request: "Request", sides: figures.Sides) -> list[RowError]:
    if not request.needs_closed_set or sides.answers <= figures.CLOSED_SET:
        return []
    text = (
        f"Accuracy chooses among the answers seen in train, and there are more than {figures.CLOSED_SET} of them; use "
        "ExactMatch for free text"
    )
    return [_whole(request, "accuracy_needs_closed_set", "spec.evaluation.metrics", text)]


def _unsayable(request: "Request", reader: Reader, tokenizer: Any | None) -> list[RowError]:
    """Labels that are not one token each: told once per label, where it was first met."""
    labels = reader.labels
    if labels is None or tokenizer is None or not request.says_labels:
        return []
    encoder = encoder_for(request.work, tokenizer, request.sequence_length, labels.all)
    found = []
    for label, finding in labels.unsayable(encoder):
        file, line = labels.first.get(label, (request.first_file, None))
        field = labels.column if line else f"spec.classification.labels[{labels.all.index(label)}]"
        found.append(RowError(code=finding.code, file=file, line=line, field=field, message=finding.message))
    return found


def _whole(request: "Request", code: str, field: str, message: str) -> RowError:
    return RowError(code=code, file=request.first_file, field=field, message=message)


def _test_field(request: "Request") -> str:
    return "spec.dataset.test" if request.work.dataset.test else "spec.dataset.split.testFraction"
