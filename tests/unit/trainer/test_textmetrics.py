"""Metrics against the reference libraries, called directly on the same examples, and against published figures."""

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
from sklearn import metrics as sklearn

from attune_contract.enums import MetricName
from attune_contract.spec import Metric as Asked
from attune_trainer.errors import InvalidConfigurationError, InvalidDataError
from attune_trainer.evaluation.textmetrics import agreement, base, human, judgements, select
from attune_trainer.evaluation.textmetrics.agreement import Level
from attune_trainer.evaluation.textmetrics.answers import ExactMatch, RougeL, TokenF1
from attune_trainer.evaluation.textmetrics.labels import Accuracy, LabelLogLoss, MacroF1, confusion
from attune_trainer.evaluation.textmetrics.likelihoods import Both, Perplexity, PreferenceMargin, RatedMargin, Read
from attune_trainer.evaluation.textmetrics.normalization import AS_IS, SQUAD, STRIPPED, Normalization
from attune_trainer.evaluation.textmetrics.structure import MOST_CHARACTERS, JsonValid, RegexMatch
from attune_trainer.evaluation.textmetrics.subsequence import longest_common
from attune_trainer.evaluation.textmetrics.translation import Bleu, Chrf

ROOT = Path(__file__).resolve().parents[3]
# From sacrebleu's README, with the first reference of each.
ANSWERS = [
    "The dog bit the man.",
    "It wasn't surprising.",
    "The man had just bitten him.",
    "",
    "zu kurz",
    "Ünïcode — ok",
]
EXPECTED = [
    "The dog bit the man.",
    "It was not unexpected.",
    "The man bit him first.",
    "Nothing?",
    "Viel zu kurz .",
    "unicode ok",
]
LABELS = ("billing", "hardware", "network", "other")
# scikit-learn's example of f1_score: y_true = 0 1 2 0 1 2, y_pred = 0 2 1 0 0 1; macro F1 is 0.26…
CHOSEN = ["billing", "network", "hardware", "billing", "billing", "hardware"]
RIGHT = ["billing", "hardware", "network", "billing", "hardware", "network"]
OPEN_SCHEMA = {"type": "object", "required": ["desk"], "properties": {"desk": {"enum": ["a", "b"]}}}


def rows_of(metric: Any, answers: list[Any], expected: list[Any]) -> base.Floats:
    rows = np.array([metric.row(a, e) for a, e in zip(answers, expected, strict=True)])
    assert rows.shape == (len(answers), metric.width)
    return rows


def value_of(metric: Any, answers: list[Any], expected: list[Any]) -> float:
    return base.value(metric, rows_of(metric, answers, expected))


def weights(rows: int, draws: int = 40) -> base.Floats:
    """How often each row is in each of some bootstrap samples."""
    random = np.random.default_rng(17)
    return random.multinomial(rows, np.full(rows, 1 / rows), size=draws).astype(np.float64)


def samples(drawn: base.Floats, *columns: list[Any]) -> list[tuple[list[Any], ...]]:
    """The same samples, written out."""
    return [
        tuple([column[i] for i, times in enumerate(sample) for _ in range(int(times))] for column in columns)
        for sample in drawn
    ]


class TestTranslation:
    @pytest.mark.parametrize("lowercase", [False, True], ids=["cased", "lowercase"])
    def test_bleu_is_sacrebleus_own(self, lowercase: bool) -> None:
        ours = value_of(Bleu(lowercase=lowercase), ANSWERS, EXPECTED)

        assert ours == sacrebleu.corpus_bleu(ANSWERS, [EXPECTED], lowercase=lowercase).score

    @pytest.mark.parametrize("tokenize", ["13a", "intl", "char", "zh", "none"])
    def test_bleu_of_each_tokenizer(self, tokenize: str) -> None:
        assert (
            value_of(Bleu(tokenize), ANSWERS, EXPECTED)
            == sacrebleu.corpus_bleu(ANSWERS, [EXPECTED], tokenize=tokenize).score
        )

    def test_chrf_is_sacrebleus_own(self) -> None:
        assert value_of(Chrf(), ANSWERS, EXPECTED) == sacrebleu.corpus_chrf(ANSWERS, [EXPECTED]).score

    def test_chrf_in_lower_case(self) -> None:
        theirs = sacrebleu.CHRF(lowercase=True).corpus_score(ANSWERS, [EXPECTED]).score

        assert value_of(Chrf(lowercase=True), ANSWERS, EXPECTED) == theirs

    def test_a_published_bleu(self) -> None:
        # sacrebleu's README: 48.530827009929865 with both of its references; with the first alone, its own figure.
        both = [EXPECTED[:3], ["The dog had bit the man.", "No one was surprised.", "The man had bitten the dog."]]

        assert sacrebleu.corpus_bleu(ANSWERS[:3], both).score == pytest.approx(48.530827009929865)
        assert value_of(Bleu(), ANSWERS[:3], EXPECTED[:3]) == sacrebleu.corpus_bleu(ANSWERS[:3], [EXPECTED[:3]]).score

    @pytest.mark.parametrize(
        ("metric", "corpus"),
        [
            pytest.param(Bleu(), sacrebleu.corpus_bleu, id="bleu"),
            pytest.param(Chrf(), sacrebleu.corpus_chrf, id="chrf"),
        ],
    )
    def test_a_bootstrap_is_a_matrix_product(self, metric: Any, corpus: Any) -> None:
        drawn = weights(len(ANSWERS))

        ours = base.drawn(metric, rows_of(metric, ANSWERS, EXPECTED), drawn)

        assert ours.tolist() == [corpus(a, [e]).score for a, e in samples(drawn, ANSWERS, EXPECTED)]

    @pytest.mark.parametrize(
        ("metric", "reference"),
        [
            pytest.param(Bleu(), sacrebleu.BLEU(), id="bleu"),
            pytest.param(Bleu("zh", lowercase=True), sacrebleu.BLEU(tokenize="zh", lowercase=True), id="bleu-zh"),
            pytest.param(Chrf(), sacrebleu.CHRF(), id="chrf"),
        ],
    )
    def test_the_signature_is_recorded(self, metric: Any, reference: Any) -> None:
        reference.corpus_score(ANSWERS, [EXPECTED])

        assert metric.describe().signature == str(reference.get_signature())
        assert f"version:{sacrebleu.__version__}" in metric.describe().document()["signature"]


class TestLabels:
    @pytest.mark.parametrize(
        ("answers", "expected"),
        [
            pytest.param(CHOSEN, RIGHT, id="scikit-learns-example"),
            pytest.param(RIGHT, RIGHT, id="all-right"),
            pytest.param(["other"] * 6, RIGHT, id="always-a-label-that-is-never-right"),
            pytest.param(["billing"], ["billing"], id="one-row"),
        ],
    )
    def test_macro_f1_and_accuracy_are_scikit_learns(self, answers: list[str], expected: list[str]) -> None:
        assert value_of(MacroF1(LABELS), answers, expected) == pytest.approx(
            sklearn.f1_score(expected, answers, average="macro"), abs=1e-15
        )
        assert value_of(Accuracy(), answers, expected) == sklearn.accuracy_score(expected, answers)

    def test_macro_f1_as_published(self) -> None:
        # scikit-learn, documentation of f1_score: 0.26...
        assert value_of(MacroF1(LABELS), CHOSEN, RIGHT) == pytest.approx(0.26666666, abs=1e-7)

    def test_macro_f1_of_every_sample(self) -> None:
        drawn = weights(len(RIGHT))
        metric = MacroF1(LABELS)

        ours = base.drawn(metric, rows_of(metric, CHOSEN, RIGHT), drawn)

        theirs = [sklearn.f1_score(e, a, average="macro") for a, e in samples(drawn, CHOSEN, RIGHT)]
        assert ours.tolist() == pytest.approx(theirs, abs=1e-15)

    def test_an_answer_that_is_no_label_is_missed_and_is_no_label_of_its_own(self) -> None:
        answers = [None, *CHOSEN[1:]]
        theirs = sklearn.f1_score(RIGHT, ["?", *CHOSEN[1:]], labels=list(LABELS[:3]), average="macro")

        assert value_of(MacroF1(LABELS), answers, RIGHT) == pytest.approx(theirs)
        assert value_of(MacroF1(LABELS), ["?", *CHOSEN[1:]], RIGHT) == pytest.approx(theirs)

    def test_an_unknown_expected_label_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="'sales' is none of billing"):
            MacroF1(LABELS).row("billing", "sales")

    def test_confusion_is_scikit_learns(self) -> None:
        found = confusion(LABELS, zip(CHOSEN, RIGHT, strict=True))

        assert found[:, :-1].tolist() == sklearn.confusion_matrix(RIGHT, CHOSEN, labels=list(LABELS)).tolist()
        assert confusion(LABELS, [(None, "other"), ("?", "other")])[3].tolist() == [0, 0, 0, 0, 2]

    @pytest.mark.parametrize(
        "likelihoods",
        [
            # scikit-learn, documentation of log_loss: spam, ham, ham, spam; 0.21616…
            pytest.param([[0.1, 0.9], [0.9, 0.1], [0.8, 0.2], [0.35, 0.65]], id="scikit-learns-example"),
            pytest.param([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.2, 0.8]], id="held-impossible"),
        ],
    )
    def test_log_loss_is_scikit_learns(self, likelihoods: list[list[float]]) -> None:
        expected = ["spam", "ham", "ham", "spam"]
        with np.errstate(divide="ignore"):
            answers = [list(np.log(row)) for row in likelihoods]

        ours = value_of(LabelLogLoss(("ham", "spam")), answers, expected)

        assert ours == pytest.approx(sklearn.log_loss(expected, likelihoods, labels=["ham", "spam"]), abs=1e-12)

    def test_log_loss_as_published(self) -> None:
        answers = [list(np.log(row)) for row in [[0.1, 0.9], [0.9, 0.1], [0.8, 0.2], [0.35, 0.65]]]

        ours = value_of(LabelLogLoss(("ham", "spam")), answers, ["spam", "ham", "ham", "spam"])

        assert ours == pytest.approx(0.21616, abs=5e-6)

    def test_log_loss_takes_likelihoods_that_do_not_add_up_to_one(self) -> None:
        metric = LabelLogLoss(("a", "b"))

        assert metric.row([-100.0, -100.0], "a")[0] == pytest.approx(math.log(2))
        with pytest.raises(ValueError, match="1 likelihoods for 2 labels"):
            metric.row([0.0], "a")


# Figures of rouge-score 0.1.2 (rougeL, use_stemmer=False) and of SQuAD's evaluate-v2.0.py, each run on these texts.
@pytest.mark.parametrize(
    ("expected", "answer", "figure"),
    [
        # The package's own README.
        ("The quick brown fox jumps over the lazy dog", "The quick brown dog jumps on the log.", 0.5882352941176471),
        # Lin 2004, section 3.1: S1 with S2 is 3/4, with S3 it is 2/4.
        ("police killed the gunman", "police kill the gunman", 0.75),
        ("police killed the gunman", "the gunman kill police", 0.5),
        ("testing one two", "testing", 0.5),
        ("It's a re-usable test_case, isn't it?", "a reusable test case; is it", 0.5),
        ("", "", 0.0),
        ("a b c", "", 0.0),
    ],
)
def test_rouge_l(expected: str, answer: str, figure: float) -> None:
    assert RougeL().row(answer, expected).tolist() == [pytest.approx(figure, abs=1e-15), 1]


def test_rouge_l_reads_words_of_every_script() -> None:
    assert RougeL().row("Über größere Häuser", "über große Häuser")[0] == pytest.approx(2 / 3)
    assert RougeL().row("Почему так медленно?", "почему так")[0] == pytest.approx(0.8)


def test_the_longest_common_subsequence_is_that_of_dynamic_programming() -> None:
    def table(first: str, second: str) -> int:
        row = [0] * (len(second) + 1)
        for a in first:
            before = row
            row = [0]
            for i, b in enumerate(second):
                row.append(before[i] + 1 if a == b else max(row[i], before[i + 1]))
        return row[-1]

    random = np.random.default_rng(17)
    for _ in range(300):
        first, second = ("".join(random.choice(list("abcd"), random.integers(0, 90))) for _ in range(2))
        assert longest_common(first, second) == table(first, second), (first, second)


@pytest.mark.parametrize(
    ("expected", "answer", "exact", "f1"),
    [
        ("Denver Broncos", "The Denver Broncos.", 1, 1.0),
        ("the cat sat", "a cat sat down", 0, 0.8),
        ("Saint Bernadette Soubirous", "Bernadette", 0, 0.5),
        ("", "the", 1, 1),
        ("", "no answer", 0, 0),
        (
            "a golden statue of the Virgin Mary",
            "the Main Building's gold dome, topped with a golden statue of the Virgin Mary",
            0,
            0.625,
        ),
        ("1976", "1976", 1, 1.0),
        ("10,000", "10000 men", 0, 2 / 3),
        ("New York", "new york new york", 0, 2 / 3),
    ],
)
def test_squads_script_gives_the_same(expected: str, answer: str, exact: float, f1: float) -> None:
    assert ExactMatch(SQUAD).row(answer, expected).tolist() == [exact, 1]
    assert TokenF1().row(answer, expected).tolist() == [pytest.approx(f1), 1]


@pytest.mark.parametrize(
    ("normalization", "text", "compared", "words"),
    [
        pytest.param(AS_IS, " A. ", " A. ", "none", id="as-is"),
        pytest.param(STRIPPED, " A.  b\n", "A.  b", "white space at both ends removed", id="stripped"),
        pytest.param(
            SQUAD,
            "An  apple,\nthe pie",
            "apple pie",
            "lower case, ASCII punctuation removed, English articles removed, white space joined to single spaces",
            id="squad",
        ),
        pytest.param(Normalization(compose=True), "e\u0301", "\u00e9", "Unicode NFC", id="composed"),
    ],
)
def test_normalisation_is_explicit_and_told(normalization: Normalization, text: str, compared: str, words: str) -> None:
    assert normalization(text) == compared
    assert ExactMatch(normalization).describe().normalization == words


class TestJsonValid:
    @pytest.mark.parametrize(
        ("answer", "as_json", "by_schema"),
        [
            pytest.param('{"desk": "a"}', 1, 1, id="fits"),
            pytest.param(' {"desk": "a"}\n', 1, 1, id="white-space-around"),
            pytest.param('{"desk": "c"}', 1, 0, id="not-in-the-enum"),
            pytest.param("[]", 1, 0, id="other-type"),
            pytest.param('{"desk": "a"} Hope that helps!', 0, 0, id="text-after"),
            pytest.param('```json\n{"desk": "a"}\n```', 0, 0, id="code-fence"),
            pytest.param('{"desk": NaN}', 0, 0, id="nan-is-no-json"),
            pytest.param("{'desk': 'a'}", 0, 0, id="single-quotes"),
            pytest.param("", 0, 0, id="empty"),
            pytest.param("[" * 90_000, 0, 0, id="too-deep"),
            pytest.param("9" * 5_000, 0, 0, id="a-number-python-does-not-read"),
            pytest.param('"' + "a" * MOST_CHARACTERS + '"', 0, 0, id="too-long"),
        ],
    )
    def test_what_counts(self, answer: str, as_json: float, by_schema: float) -> None:
        assert JsonValid().row(answer).tolist() == [as_json, 1]
        assert JsonValid(OPEN_SCHEMA).row(answer).tolist() == [by_schema, 1]

    @pytest.mark.parametrize(
        ("schema", "message"),
        [
            pytest.param(
                {"properties": {"age": {"type": "intt"}}},
                r"^spec\.evaluation\.metrics\[1\]\.schema\.properties\.age\.type: 'intt' is not valid",
                id="type",
            ),
            pytest.param(
                {"allOf": [{"minimum": "3"}]}, r"schema\.allOf\[0\]\.minimum: '3' is not of type 'number'", id="array"
            ),
            pytest.param({"pattern": "("}, r"schema\.pattern: '\(' is not a 'regex'", id="pattern"),
            pytest.param({"$ref": "https://example.com/a.json"}, r"\$ref to https://example\.com/a\.json", id="remote"),
            pytest.param({"items": {"$ref": "#/$defs/b"}, "$defs": {"a": {}}}, r"\$ref to #/\$defs/b", id="missing"),
        ],
    )
    def test_a_wrong_schema_is_refused_with_its_path(self, schema: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidConfigurationError, match=message):
            select.of_text(Asked(name=MetricName.JSON_VALID, schema=schema), "spec.evaluation.metrics[1]")

    @pytest.mark.parametrize(
        "schema",
        [
            pytest.param({"items": {"$ref": "#/$defs/b"}, "$defs": {"b": {"type": "integer"}}}, id="pointer"),
            pytest.param(
                {"$id": "https://x.example/a", "items": {"$ref": "b"}, "$defs": {"b": {"$id": "b", "type": "integer"}}},
                id="by-id-inside",
            ),
        ],
    )
    def test_references_inside_are_followed(self, schema: dict[str, Any]) -> None:
        assert [JsonValid(schema).row(text)[0] for text in ("[1]", '["a"]')] == [1, 0]


class TestRegexMatch:
    @pytest.mark.parametrize(
        ("answer", "right"),
        [("AB-12", 1), ("AB-12 ", 0), ("xAB-12", 0), ("AB-12\n", 0), ("", 0)],
        ids=["whole", "space-after", "text-before", "newline-after", "empty"],
    )
    def test_the_whole_answer_must_match(self, answer: str, right: float) -> None:
        assert RegexMatch(r"[A-Z]{2}-\d+").row(answer).tolist() == [right, 1, 0]

    def test_a_pattern_that_backtracks_without_end_is_given_up(self) -> None:
        metric = RegexMatch(r"(a|a)+b", most_seconds=0.05)
        started = time.monotonic()

        row = metric.row("a" * 60 + "c")

        assert row.tolist() == [0, 1, 1]
        assert metric.given_up(row) == 1
        assert time.monotonic() - started < 30

    def test_an_answer_without_end_is_not_looked_at(self) -> None:
        assert RegexMatch(".*").row("a" * (MOST_CHARACTERS + 1)).tolist() == [0, 1, 1]

    def test_a_wrong_pattern_is_refused(self) -> None:
        with pytest.raises(InvalidConfigurationError, match=r"metrics\[0\]\.pattern: '\(' is no regular expression"):
            select.of_text(Asked(name=MetricName.REGEX_MATCH, pattern="("), "spec.evaluation.metrics[0]")

    def test_no_pattern_is_refused(self) -> None:
        with pytest.raises(InvalidConfigurationError, match="RegexMatch needs one"):
            select.of_text(Asked(name=MetricName.REGEX_MATCH), "spec.evaluation.metrics[0]")


class TestLikelihoods:
    def test_perplexity_is_over_all_tokens(self) -> None:
        rows = rows_of(Perplexity(), [Read(2.0, 1), Read(0.0, 3)], [None, None])

        assert base.value(Perplexity(), rows) == pytest.approx(math.exp(0.5))
        assert base.drawn(Perplexity(), rows, np.array([[2.0, 0.0], [0.0, 2.0]])) == pytest.approx([math.exp(2), 1])

    def test_more_than_a_number_can_hold_is_infinite(self) -> None:
        assert value_of(Perplexity(), [Read(800.0, 1)], [None]) == math.inf

    def test_the_margin_of_pairs(self) -> None:
        assert value_of(PreferenceMargin(), [Both(-1, -3), Both(-2, -1)], [None, None]) == 0.5

    def test_the_margin_of_rated_answers_is_between_the_two_means(self) -> None:
        metric = RatedMargin()
        rows = rows_of(metric, [-1.0, -3.0, -4.0], [True, True, False])

        assert base.value(metric, rows) == 2
        assert np.isnan(base.drawn(metric, rows, np.array([[2.0, 1.0, 0.0]]))).all()


# Krippendorff 2011, section D: four observers, twelve units, with missing values.
PUBLISHED = [
    [1, 1, 1],
    [2, 2, 3, 2],
    [3, 3, 3, 3],
    [3, 3, 3, 3],
    [2, 2, 2, 2],
    [1, 2, 3, 4],
    [4, 4, 4, 4],
    [1, 1, 2, 1],
    [2, 2, 2, 2],
    [5, 5, 5],
    [1, 1],
    [3],
]


@pytest.mark.parametrize(
    ("level", "alpha"), [(Level.NOMINAL, 0.743), (Level.ORDINAL, 0.815), (Level.INTERVAL, 0.849)], ids=str
)
def test_krippendorffs_alpha_as_published(level: Level, alpha: float) -> None:
    assert agreement.krippendorff_alpha(PUBLISHED, level) == pytest.approx(alpha, abs=5e-4)


@pytest.mark.parametrize(
    ("units", "alpha"),
    [
        pytest.param([[1], [2]], None, id="nothing-judged-twice"),
        pytest.param([[1, 1], [1, 1]], None, id="one-value"),
        pytest.param([[1, 1], [2, 2]], 1.0, id="full-agreement"),
        pytest.param([[1, 2], [1, 2]], -0.5, id="worse-than-chance"),
    ],
)
def test_alpha_at_the_edges(units: list[list[float]], alpha: float | None) -> None:
    assert agreement.krippendorff_alpha(units, Level.ORDINAL) == alpha


class TestHumanPreference:
    ROWS = ("r1", "r2", "r3")

    def write(self, folder: Path, *lines: dict[str, Any] | str, name: str = "votes.jsonl") -> Path:
        path = folder / name
        path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
        return path

    def test_votes(self, tmp_path: Path) -> None:
        path = self.write(
            tmp_path,
            {"rowID": "r1", "person": "ann", "prefers": "tuned"},
            {"rowID": "r1", "person": "bob", "prefers": "tie"},
            "",
            {"rowID": "r2", "person": "ann", "prefers": "base"},
            {"rowID": "r2", "person": "ann", "prefers": "prompted", "over": "prompted"},
        )

        found = judgements.read(path, self.ROWS, ("base", "prompted"))
        judged = human.against(found, "base")

        assert judged is not None
        assert (judged.tuned, judged.baseline) == ({"r1": 0.75, "r2": 0}, {"r1": 0.25, "r2": 1})
        assert (judged.people, judged.judgements) == (2, 3)
        metric = human.HumanPreference(found.kind)
        assert value_of(metric, list(judged.tuned.values()), [None] * 2) == 0.375
        assert "0.5 is a draw" in metric.describe().scale
        assert human.against(found, "champion") is None

    def test_ratings_are_compared_within_a_person(self, tmp_path: Path) -> None:
        path = self.write(
            tmp_path,
            "rowID,person,model,rating",
            "r1,ann,tuned,5",
            "r1,ann,base,3",
            "r1,bob,tuned,4",
            "r2,ann,tuned,2",
            "r2,ann,base,2",
            name="ratings.csv",
        )

        found = judgements.read(path, self.ROWS)
        judged = human.against(found, "base")

        assert judged is not None
        assert (judged.tuned, judged.baseline) == ({"r1": 5, "r2": 2}, {"r1": 3, "r2": 2})
        assert human.HumanPreference(found.kind).describe().scale == "1 to 5, higher is better"

    def test_agreement_between_people_is_told(self, tmp_path: Path) -> None:
        ratings = [
            {"rowID": row, "person": person, "model": model, "rating": rating}
            for row, model, rating in [("r1", "tuned", 5), ("r1", "base", 2), ("r2", "tuned", 4), ("r2", "base", 1)]
            for person in ("ann", "bob")
        ]

        judged = human.against(judgements.read(self.write(tmp_path, *ratings), self.ROWS), "base")

        assert judged is not None
        assert judged.in_words() == (
            "8 judgements of 2 rows by 2 people; agreement (Krippendorff's alpha, ordinal): 1.000, reliable"
        )

    def test_every_problem_has_its_line(self, tmp_path: Path) -> None:
        path = self.write(
            tmp_path,
            {"rowID": "r1", "person": "ann", "prefers": "tuned"},
            {"rowID": "r9", "person": "ann", "prefers": "best"},
            "{",
            {"rowID": "r1", "person": "ann", "prefers": "base"},
            {"rowID": "r1", "person": " "},
            {"rowID": "r1", "person": "bob", "prefers": "tuned", "over": "champion"},
            "[1]",
        )

        with pytest.raises(InvalidDataError) as found:
            judgements.read(path, self.ROWS)

        assert found.value.validation is not None
        assert [(e.line, e.code, e.field) for e in found.value.validation.errors] == [
            (2, "unknown_row", "rowID"),
            (2, "wrong_value", "prefers"),
            (3, "invalid_json", None),
            (4, "duplicate", None),
            (5, "missing_column", "person"),
            (5, "missing_column", None),
            (6, "wrong_value", "over"),
            (7, "invalid_json", None),
        ]
        assert "votes.jsonl:2: rowID: there is no held-out row 'r9'" in str(found.value)
        assert "; and 5 more" in str(found.value)

    @pytest.mark.parametrize(
        ("rating", "good"), [(1, True), (5, True), ("3", True), (0, False), (6, False), (2.5, False), ("", False)]
    )
    def test_a_rating_is_1_to_5(self, tmp_path: Path, rating: Any, good: bool) -> None:
        path = self.write(tmp_path, {"rowID": "r1", "person": "ann", "model": "tuned", "rating": rating})

        if good:
            assert judgements.read(path, self.ROWS).ratings[0].rating == int(rating)
        else:
            with pytest.raises(InvalidDataError, match=r"votes\.jsonl:1: rating: .* is no whole number from 1 to 5"):
                judgements.read(path, self.ROWS)

    @pytest.mark.parametrize(
        ("lines", "code"),
        [
            pytest.param([], "empty", id="empty"),
            pytest.param(
                [
                    {"rowID": "r1", "person": "a", "prefers": "tie"},
                    {"rowID": "r1", "person": "a", "model": "base", "rating": 1},
                ],
                "mixed",
                id="votes-and-ratings",
            ),
        ],
    )
    def test_a_file_of_neither_or_both_is_refused(self, tmp_path: Path, lines: list[Any], code: str) -> None:
        with pytest.raises(InvalidDataError) as found:
            judgements.read(self.write(tmp_path, *lines), self.ROWS)

        assert found.value.validation is not None
        assert [e.code for e in found.value.validation.errors] == [code]


EVERY = [
    ExactMatch(),
    TokenF1(),
    RougeL(),
    Bleu(),
    Chrf(),
    Accuracy(),
    MacroF1(LABELS),
    LabelLogLoss(LABELS),
    JsonValid(),
    JsonValid(True),
    RegexMatch("a+"),
    Perplexity(),
    PreferenceMargin(),
    RatedMargin(),
    human.HumanPreference(judgements.Vote),
]


def test_there_is_a_class_for_every_metric() -> None:
    assert {metric.name for metric in EVERY} == set(MetricName)
    for name in select.OF_TEXT:
        assert select.of_text(Asked(name=name, pattern="a"), "x").name is name
    for name in select.OF_LABELS:
        assert select.of_labels(name, LABELS).name is name


@pytest.mark.parametrize("metric", EVERY, ids=lambda m: type(m).__name__)
def test_the_docs_say_what_computes_it(metric: Any) -> None:
    """docs/metrics.md names the very version that is installed."""
    found = metric.describe()
    table = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8").splitlines()

    row = next(line for line in table if line.startswith(f"| `{metric.name.value}`"))

    assert found.computed_by in row
    assert found.scale.split(",")[-1].strip() in row
    if found.signature:
        assert f"`{found.signature}`".replace("|", r"\|") in row
