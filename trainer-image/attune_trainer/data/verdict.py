"""Problems of the data as a whole, which show once all rows are read."""

from typing import TYPE_CHECKING, Any

from attune_contract.enums import Method
from attune_contract.outcome import RowError
from attune_trainer.data import figures
from attune_trainer.data.check import Reader
from attune_trainer.data.encoding.select import encoder_for
from attune_trainer.data.labels import MOST
from attune_trainer.data.quality.sensitive import mask

if TYPE_CHECKING:
    from attune_trainer.data.dataset import Request

MIN_TRAIN_ROWS = 2
MIN_TEST_ROWS = 1
_VALIDATION_FIELD = "spec.dataset.split.validationFraction"


def judge(request: "Request", reader: Reader, sides: figures.Sides, tokenizer: Any | None) -> None:
    """Adds to the reader's problems what is wrong with the whole.

    Args:
        request: what was asked of the dataset.
        reader: has read all files.
        sides: what they came to.
        tokenizer: the model's, where it has one.
    """
    for error in (
        *(_undivided(request, reader, sides) or _too_few(request, sides)),
        *_one_sided(request, sides),
        *_open_set(request, sides),
        *_too_many_labels(request, reader),
        *_unlearnt(request, reader, sides),
        *_unsayable(request, reader, tokenizer),
    ):
        reader.problems.add(error)


def _undivided(request: "Request", reader: Reader, sides: figures.Sides) -> list[RowError]:
    """Rows enough, and yet no fraction of them can be held out."""
    prompts, rows = reader.kept.prompts, sides.train_rows + sides.test_rows + sides.repeated_test_rows
    if request.work.dataset.test or rows < MIN_TRAIN_ROWS + MIN_TEST_ROWS:
        return []
    word = "text" if request.work.method in {Method.CONTINUED_PRETRAINING, Method.CLASSIFICATION} else "prompt"
    if all(prompt == prompts[0] for prompt in prompts):
        text = (
            f"all {rows} rows have the same {word}, and rows of one {word} stay on one side of the split; give "
            "spec.dataset.test"
        )
    elif sides.test_rows < MIN_TEST_ROWS:
        label, count = list(sides.labels[0].items())[-1]
        text = (
            f"each label has one {word} only, which stays in training, so that none is left for evaluation (label "
            f"{mask(label)[:60]!r} has {count} row{'s' * (count != 1)}); add rows, or give spec.dataset.test"
        )
    else:
        return []
    return [_whole(request, "too_few_rows", _test_field(request), text)]


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
            ("choosing the best weights", sides.validation_rows, _watched(request), _VALIDATION_FIELD),
            ("evaluation", sides.test_rows, MIN_TEST_ROWS, _test_field(request)),
        )
        if rows < least
    ]


def _watched(request: "Request") -> int:
    """How many rows of validation are needed: one where the best weights are kept."""
    return int(request.work.training.keep_best)


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


def _too_many_labels(request: "Request", reader: Reader) -> list[RowError]:
    labels = reader.labels
    if labels is None or not labels.too_many:
        return []
    text = (
        f"{labels.column!r} has more than {MOST:,} different values in the rows to train on, so it looks like an "
        "identifier or free text and not like labels; say with spec.dataset.columns.label which column has them"
    )
    return [_whole(request, "data_type", labels.column, text)]


def _unlearnt(request: "Request", reader: Reader, sides: figures.Sides) -> list[RowError]:
    """Labels of test that no row of train has: told once per label, where it is first met.

    While reading, this cannot be seen of a label that the manifest lists, or whose only rows in train were dropped
    later. A split by fraction leaves rows of each label in train.
    """
    labels, kept = reader.labels, reader.kept
    learnt, asked = sides.labels
    if labels is None or labels.too_many or not learnt or not request.work.dataset.test:
        return []
    unlearnt = {kept.labels[label]: label for label in asked if label not in learnt}
    first: dict[int, int] = {}
    for index, number in enumerate(kept.strata if unlearnt else ()):
        if number in unlearnt and kept.held_out[index]:
            first.setdefault(number, index)
    found = []
    for number, index in first.items():
        file, line = kept.locate(index, reader.sources)
        text = (
            f"the label {unlearnt[number][:60]!r} has no usable row to train on; add rows of it to train, or remove it"
        )
        found.append(RowError(code="unknown_label", file=file, line=line, field=labels.column, message=text))
    return found


def _unsayable(request: "Request", reader: Reader, tokenizer: Any | None) -> list[RowError]:
    """Labels that are not one token each: told once per label, where it was first met."""
    labels = reader.labels
    if labels is None or labels.too_many or tokenizer is None or not request.says_labels:
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
