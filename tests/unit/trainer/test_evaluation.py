"""Each kind of scoring on a model that can be worked out by hand: one whose next token hangs on the last one only."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from attune_contract.enums import Method, MetricName
from attune_contract.outcome import MetricResult
from attune_contract.spec import Workload
from attune_trainer.data import canonical
from attune_trainer.data.encoding.select import encoder_for
from attune_trainer.data.examples import Document, Example, Labeled, Pair, Rated, Supervised, Turn
from attune_trainer.errors import InvalidDataError
from attune_trainer.evaluation import scores as score_files
from attune_trainer.evaluation.forward import Forward
from attune_trainer.evaluation.kinds.base import Given, Kind
from attune_trainer.evaluation.kinds.select import kind_for
from attune_trainer.evaluation.scores import Scores
from attune_trainer.evaluation.significance.checks import Means, Measured
from attune_trainer.evaluation.significance.figures import Figures, shape_of
from attune_trainer.evaluation.verdicts import _result

LENGTH = 16


class Bigram(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
    """The log-likelihood of b after a is `table[a, b]`, whatever came before."""

    def __init__(self, size: int, seed: int, lift: dict[int, float] | None = None) -> None:
        super().__init__()
        table = torch.randn(size, size, generator=torch.Generator().manual_seed(seed))
        for token, by in (lift or {}).items():
            table[:, token] += by
        self.table = table.log_softmax(-1)

    def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
        return SimpleNamespace(logits=self.table[input_ids])

    def of(self, ids: Sequence[int], start: int) -> float:
        """The log-likelihood of ids[start:] after what is before."""
        return sum(float(self.table[a, b]) for a, b in zip(ids[start - 1 :], ids[start:], strict=False))


class Head(torch.nn.Module):  # type: ignore[misc]  # torch is not followed
    """A classifier whose logits are those of the first token."""

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__()
        self.table = table

    def forward(self, input_ids: torch.Tensor, **_: Any) -> Any:
        return SimpleNamespace(logits=self.table[input_ids[:, 0]])


def words(role: str, text: str) -> tuple[Turn, ...]:
    return (Turn(role, text, int(role == "completion")),)


def kind_of(
    folder: Path, tokenizer: Any, method: Method, rows: Sequence[Example], train: Sequence[Example] = (), **spec: Any
) -> Kind:
    work = Workload.model_validate(
        {
            "model": {"source": "file:///model"},
            "method": method.value,
            "dataset": {"train": ["file:///train.jsonl"]},
            "training": {"epochs": 1, "sequenceLength": LENGTH},
            "output": {"uri": "file:///out"},
            **spec,
        }
    )
    paths = {"train": folder / "train.parquet", "test": folder / "test.parquet"}
    for path, examples in zip(paths.values(), (train or rows, rows), strict=True):
        with canonical.Writer(path, canonical.kind_of(method)) as writer:
            for example in examples:
                writer.write(example)
    labels = tuple(sorted({row.label for row in rows if isinstance(row, Labeled)}))
    metrics = work.evaluation.resolved_metrics(method)
    forward = Forward("cpu", 0, len(tokenizer))
    return kind_for(
        Given(work, encoder_for(work, tokenizer, LENGTH, labels), labels, *paths.values(), metrics, forward)
    )


def scored(kind: Kind, model: torch.nn.Module, path: Path) -> Scores:
    score_files.write(path, (score for batch in kind.batches() for score in kind.score(model, batch)), "this")
    found = score_files.read(path, len(kind.rows))
    assert found is not None
    return found


def result(folder: Path, kind: Kind, metric: MetricName, tuned: torch.nn.Module, base: torch.nn.Module) -> MetricResult:
    ours, theirs = (scored(kind, model, folder / "scores.jsonl").figures[metric] for model in (tuned, base))
    figures = Figures(shape_of(kind.metrics()[metric]), ours, theirs)
    return _result(Measured(metric, "base", figures), Means.fit_for(1, 0.95, 17))


@pytest.fixture(scope="module")
def models(tokenizer: Any) -> tuple[Bigram, Bigram]:
    """Tuned and base."""
    return Bigram(len(tokenizer), 1), Bigram(len(tokenizer), 2)


PAIRS = [
    Pair(f"file#{i}", words("prompt", f"Sky {i}"), words("completion", f" is {good}"), words("completion", f" {bad}"))
    for i, (good, bad) in enumerate([("blue", "red"), ("very blue", "no"), ("grey", "a long way off from here, far")])
]


def test_the_margin_of_pairs_is_the_mean_difference_of_log_likelihoods(
    tmp_path: Path, tokenizer: Any, models: tuple[Bigram, Bigram]
) -> None:
    found = result(tmp_path, kind_of(tmp_path, tokenizer, Method.DPO, PAIRS), MetricName.PREFERENCE_MARGIN, *models)
    margins: list[list[float]] = []
    for model in models:
        margins.append([])
        for pair in PAIRS:
            prompt, *answers = (
                tokenizer(turns[0].content)["input_ids"] for turns in (pair.prompt, pair.chosen, pair.rejected)
            )
            of = [model.of([*prompt, *a, tokenizer.eos_token_id][:LENGTH], len(prompt)) for a in answers]
            margins[-1].append(of[0] - of[1])
    tuned, base = margins
    assert (found.tuned, found.value) == pytest.approx((sum(tuned) / 3, sum(base) / 3), rel=1e-5)


RATED = [
    Rated(f"file#{i}", words("prompt", f"Sky {i}"), words("completion", f" {answer}"), desirable)
    for i, (answer, desirable) in enumerate([("blue", True), ("grey", True), ("red", False), ("no", False)])
]


def test_the_margin_of_ratings_is_between_wanted_and_unwanted_answers(
    tmp_path: Path, tokenizer: Any, models: tuple[Bigram, Bigram]
) -> None:
    kind = kind_of(tmp_path, tokenizer, Method.KTO, RATED)
    found = result(tmp_path, kind, MetricName.PREFERENCE_MARGIN, *models)
    by_row: list[list[float]] = []
    for model in models:
        by_row.append([])
        for row in RATED:
            prompt, answer = (tokenizer(turns[0].content)["input_ids"] for turns in (row.prompt, row.completion))
            by_row[-1].append(model.of([*prompt, *answer, tokenizer.eos_token_id], len(prompt)))
    for value, rows in zip((found.tuned, found.value), by_row, strict=True):
        assert value == pytest.approx((rows[0] + rows[1] - rows[2] - rows[3]) / 2, rel=1e-5)
    assert kind.details() == {"groups": {"desirable": 2, "undesirable": 2}}


@pytest.mark.parametrize("rows", [RATED[:2], RATED[2:]], ids=["all-desirable", "all-undesirable"])
def test_ratings_of_one_kind_cannot_be_compared(tmp_path: Path, tokenizer: Any, rows: list[Rated]) -> None:
    with pytest.raises(InvalidDataError, match=r"split\.testFraction"):
        kind_of(tmp_path, tokenizer, Method.KTO, rows)


DOCUMENTS = [
    Document("file#1", "The sky is blue and the grass is green, and so it goes on for longer than a window."),
    Document("file#2", "The snow"),
    Document("file#3", "x", follows="file#2"),
]


def test_perplexity_of_documents_is_over_windows_without_end_of_text(
    tmp_path: Path, tokenizer: Any, models: tuple[Bigram, Bigram]
) -> None:
    kind = kind_of(tmp_path, tokenizer, Method.CONTINUED_PRETRAINING, DOCUMENTS)
    found = result(tmp_path, kind, MetricName.PERPLEXITY, *models)
    for value, model in zip((found.tuned, found.value), models, strict=True):
        total, tokens = 0.0, 0
        for document in DOCUMENTS:
            ids = tokenizer(document.text)["input_ids"]
            for start in range(0, len(ids), LENGTH):
                window = ids[start : start + LENGTH]
                total += model.of(window, 1)
                tokens += len(window) - 1
        assert value == pytest.approx(math.exp(-total / tokens), rel=1e-5)
    assert (found.low is None) or found.low <= found.delta
    assert (found.high is None) or found.delta <= found.high


def test_documents_of_one_token_tell_nothing(tmp_path: Path, tokenizer: Any) -> None:
    with pytest.raises(InvalidDataError, match="two tokens"):
        kind_of(tmp_path, tokenizer, Method.CONTINUED_PRETRAINING, DOCUMENTS[2:])


LABELED = [
    Labeled(f"file#{i}", text, label)
    for i, (text, label) in enumerate([("The sky", "blue"), ("Old snow", "white"), ("Dry grass in the wind", "green")])
]


def test_labels_as_tokens_are_compared_among_themselves(
    tmp_path: Path, tokenizer: Any, models: tuple[Bigram, Bigram]
) -> None:
    kind = kind_of(
        tmp_path,
        tokenizer,
        Method.CLASSIFICATION,
        LABELED,
        evaluation={"metrics": [{"name": "Accuracy"}, {"name": "LabelLogLoss"}]},
    )
    labels = sorted({row.label for row in LABELED})
    tokens = [tokenizer(f" {label}")["input_ids"] for label in labels]
    assert [len(ids) for ids in tokens] == [1, 1, 1]
    last = tokenizer("\nLabel:")["input_ids"][-1]
    by_label = {
        model: models[n].table[last][[ids[0] for ids in tokens]].log_softmax(-1) for n, model in enumerate(("t", "b"))
    }
    loss = result(tmp_path, kind, MetricName.LABEL_LOG_LOSS, *models)
    accuracy = result(tmp_path, kind, MetricName.ACCURACY, *models)

    # Every text ends alike, so this model gives every row the same answer, which is right once in three.
    assert accuracy.tuned == accuracy.value == pytest.approx(1 / 3, rel=1e-5)
    assert loss.tuned == pytest.approx(-float(by_label["t"].mean()), rel=1e-5)
    assert loss.value == pytest.approx(-float(by_label["b"].mean()), rel=1e-5)


def test_a_head_is_read_by_the_number_of_the_label(tmp_path: Path, tokenizer: Any) -> None:
    kind = kind_of(
        tmp_path,
        tokenizer,
        Method.CLASSIFICATION,
        LABELED,
        classification={"style": "Head"},
        evaluation={"metrics": [{"name": "Accuracy"}, {"name": "LabelLogLoss"}]},
    )
    labels = sorted({row.label for row in LABELED})
    right = torch.zeros(len(tokenizer), 3)
    for row in LABELED:
        right[tokenizer(row.text)["input_ids"][0], labels.index(row.label)] = 5.0
    tuned, base = Head(right), Head(torch.zeros(len(tokenizer), 3))

    assert result(tmp_path, kind, MetricName.ACCURACY, tuned, base).tuned == 1.0
    loss = result(tmp_path, kind, MetricName.LABEL_LOG_LOSS, tuned, base)
    assert (loss.tuned, loss.value) == pytest.approx((math.log(1 + 2 * math.exp(-5)), math.log(3)), rel=1e-5)


SUPERVISED = [
    Supervised(f"file#{i}", (*words("prompt", f"The {thing} is"), *words("completion", f" {colour}")))
    for i, (thing, colour) in enumerate([("sky", "blue"), ("snow", "white"), ("old grass", "green")])
]


@pytest.mark.parametrize("colour", ["blue", "green"])
def test_a_closed_set_is_chosen_from_by_one_pass(tmp_path: Path, tokenizer: Any, colour: str) -> None:
    metrics = {"metrics": [{"name": "Accuracy"}, {"name": "Perplexity"}]}
    kind = kind_of(tmp_path, tokenizer, Method.SFT, SUPERVISED, evaluation=metrics)
    (token,) = tokenizer(f" {colour}")["input_ids"]
    base = Bigram(len(tokenizer), 2, {tokenizer(" white")["input_ids"][0]: 9.0})
    tuned = Bigram(len(tokenizer), 2, {token: 50.0})
    scores = [score for batch in kind.batches() for score in kind.score(tuned, batch)]

    assert {score.said["label"] for score in scores} == {f" {colour}"}
    found = result(tmp_path, kind, MetricName.ACCURACY, tuned, base)
    assert (found.tuned, found.value, found.delta) == (
        pytest.approx(1 / 3, rel=1e-5),
        pytest.approx(1 / 3, rel=1e-5),
        0,
    )


def test_supervised_perplexity_has_an_interval(tmp_path: Path, tokenizer: Any, models: tuple[Bigram, Bigram]) -> None:
    kind = kind_of(tmp_path, tokenizer, Method.SFT, SUPERVISED, evaluation={"metrics": [{"name": "Perplexity"}]})
    found = result(tmp_path, kind, MetricName.PERPLEXITY, *models)
    total, tokens = 0.0, 0
    for row in SUPERVISED:
        prompt, answer = (tokenizer(turn.content)["input_ids"] for turn in row.turns)
        total += models[0].of([*prompt, *answer, tokenizer.eos_token_id], len(prompt))
        tokens += len(answer) + 1

    assert found.tuned == pytest.approx(math.exp(-total / tokens), rel=1e-5)
    assert (found.low is None) or found.low <= found.delta
    assert (found.high is None) or found.delta <= found.high


@pytest.mark.parametrize(
    ("method", "rows"),
    [
        pytest.param(Method.DPO, PAIRS, id="pairs"),
        pytest.param(Method.KTO, RATED, id="rated"),
        pytest.param(Method.CONTINUED_PRETRAINING, DOCUMENTS, id="documents"),
        pytest.param(Method.CLASSIFICATION, LABELED, id="labeled"),
    ],
)
def test_batches_do_not_change_the_figures(
    tmp_path: Path, tokenizer: Any, models: tuple[Bigram, Bigram], method: Method, rows: Sequence[Example]
) -> None:
    kind = kind_of(tmp_path, tokenizer, method, rows)
    together = {s.row: s for batch in kind.batches() for s in kind.score(models[0], batch)}
    alone = {i: kind.score(models[0], [i])[0] for i in range(len(rows))}

    assert sorted(together) == list(range(len(rows)))
    for i, score in alone.items():
        assert score.figures.keys() == together[i].figures.keys()
        for name, figures in score.figures.items():
            assert figures == pytest.approx(together[i].figures[name], rel=1e-6)


def test_an_answer_without_a_prompt_is_counted_from_its_second_token(models: tuple[Bigram, Bigram]) -> None:
    forward = Forward("cpu", 0, models[0].table.shape[0])

    found = forward.log_likelihoods(models[0], [([], [5, 6, 7]), ([5], [6, 7])])
    assert found == pytest.approx([models[0].of([5, 6, 7], 1)] * 2)
