"""What is doubtful about good rows: each warning is given where it is due, and only there."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from attune_contract.enums import DataWarning
from attune_contract.outcome import WarningCount
from attune_trainer.data.examples import Document, Example, Labeled, Pair, Rated, Supervised, Turn
from attune_trainer.data.quality import lengths, near, overlap, sensitive, warnings, words
from attune_trainer.data.quality.observer import Observer, QualityReport
from attune_trainer.data.quality.special import SpecialTokens

FILE = "s3://data/support/train.jsonl"
SPECIAL = SpecialTokens.among(["<|im_start|>", "<|im_end|>", "</s>"])


def supervised(prompt: str, answer: str, *, system: str = "") -> Supervised:
    turns = [Turn("user", prompt), Turn("assistant", answer, 1)]
    return Supervised("x#1", (*((Turn("system", system),) if system else ()), *turns))


def pair(prompt: str, chosen: str, rejected: str) -> Pair:
    return Pair(
        "x#1",
        *(
            (Turn(role, text),)
            for role, text in zip(("prompt", "completion", "completion"), (prompt, chosen, rejected), strict=True)
        ),
    )


def rated(prompt: str, completion: str, *, desirable: bool) -> Rated:
    return Rated("x#1", (Turn("prompt", prompt),), (Turn("completion", completion, 1),), desirable)


def labeled(text: str, label: str) -> Labeled:
    return Labeled("x#1", text, label)


def document(text: str) -> Document:
    return Document("x#1", text)


def conclude(rows: Sequence[Example], test: Sequence[int] = (), observer: Observer | None = None) -> QualityReport:
    """Shows rows to an observer; those with an index in `test` are held out."""
    observer = observer or Observer(SPECIAL)
    for index, row in enumerate(rows):
        observer.see(row, index, index in test)
    held_out = bytearray(index in test for index in range(len(rows)))
    return observer.conclude(held_out, lambda index: (FILE, index + 1))


def told(report: QualityReport) -> dict[DataWarning, int]:
    """Counts by warning; few_rows, which every small table would have, apart."""
    return {w.code: w.count for w in report.warnings if w.code is not DataWarning.FEW_ROWS}


def lines(report: QualityReport, code: DataWarning) -> list[int]:
    return [example["line"] for example in report.figures["examples"].get(code.value, [])]


def prose(count: int, seed: int = 0, vocabulary: int = 5000) -> str:
    """Words that no other seed gives in this order."""
    chosen = random.Random(seed)  # noqa: S311 - no secret
    return " ".join(f"w{chosen.randrange(vocabulary)}" for _ in range(count))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([supervised("a", "b"), supervised("a", "b")], {DataWarning.DUPLICATES: 1}, id="supervised-twice"),
        pytest.param([supervised("a", "b")] * 4, {DataWarning.DUPLICATES: 3}, id="four-times-are-three-repeats"),
        pytest.param(
            [supervised("a", "b"), supervised("a", "c")], {DataWarning.CONFLICTING_DUPLICATES: 2}, id="another-answer"
        ),
        pytest.param(
            [supervised("a", "b"), supervised("a", "b"), supervised("a", "c")],
            {DataWarning.DUPLICATES: 1, DataWarning.CONFLICTING_DUPLICATES: 3},
            id="twice-and-contradicted",
        ),
        pytest.param(
            [supervised("a", "b"), supervised("a", "b", system="s")],
            {DataWarning.NEAR_DUPLICATES: 1},
            id="another-system-message",
        ),
        pytest.param([pair("a", "b", "c"), pair("a", "b", "d")], {}, id="pairs-of-one-prompt-are-normal"),
        pytest.param(
            [pair("a", "b", "c"), pair("a", "c", "b")], {DataWarning.CONFLICTING_DUPLICATES: 2}, id="pair-swapped"
        ),
        pytest.param([pair("a", "b", "c")] * 2, {DataWarning.DUPLICATES: 1}, id="pair-twice"),
        pytest.param(
            [rated("a", "b", desirable=True), rated("a", "c", desirable=False)], {}, id="ratings-of-two-answers"
        ),
        pytest.param(
            [rated("a", "b", desirable=True), rated("a", "b", desirable=False)],
            {DataWarning.CONFLICTING_DUPLICATES: 2},
            id="both-ratings-of-one-answer",
        ),
        pytest.param(
            [labeled("a", "x"), labeled("a", "y")], {DataWarning.CONFLICTING_DUPLICATES: 2}, id="two-labels-of-one-text"
        ),
        pytest.param([labeled("a", "x"), labeled("b", "x")], {}, id="two-texts-of-one-label"),
        pytest.param([document("a"), document("a")], {DataWarning.DUPLICATES: 1}, id="document-twice"),
        pytest.param([document("a"), document("b")], {}, id="documents-never-contradict"),
    ],
)
def test_repeats_and_contradictions_of_each_kind(rows: list[Example], expected: dict[DataWarning, int]) -> None:
    assert told(conclude(rows)) == expected


def test_an_example_names_both_rows() -> None:
    report = conclude([supervised("a", "b"), supervised("c", "d"), supervised("a", "b")])

    assert report.figures["examples"]["duplicates"] == [
        {"file": FILE, "line": 3, "note": "the same as", "with": {"file": FILE, "line": 1}}
    ]
    assert "train.jsonl line 3" in report.warnings[0].message


def test_repeats_and_contradictions_are_those_of_train_alone() -> None:
    rows = [supervised("a", "b"), supervised("a", "b"), supervised("a", "c")]

    assert told(conclude(rows, test=[1, 2])) == {DataWarning.LEAKAGE: 1}


SENTENCE = "The parcel was left with a neighbour on Tuesday and nobody told the customer about it at all"


@pytest.mark.parametrize(
    ("one", "other", "is_near"),
    [
        pytest.param(SENTENCE, SENTENCE.replace("parcel", "package"), True, id="one-word-of-nineteen"),
        pytest.param(SENTENCE, SENTENCE.upper() + "!", True, id="case-and-punctuation"),
        pytest.param(SENTENCE, SENTENCE.replace(" ", "  \n"), True, id="white-space"),
        pytest.param(prose(200), prose(200) + " " + prose(10, seed=1), True, id="longer-by-a-twentieth"),
        pytest.param(prose(200), prose(200, seed=1), False, id="other-words"),
        pytest.param(
            prose(200, vocabulary=300), prose(200, seed=1, vocabulary=300), False, id="words-in-another-order"
        ),
        pytest.param(prose(200), prose(100) + " " + prose(100, seed=1), False, id="one-half-is-the-same"),
        pytest.param("a small house", "a small garden", False, id="short-texts"),
    ],
)
def test_near_duplicates(one: str, other: str, is_near: bool) -> None:
    filler = [document(prose(40, seed=i)) for i in range(100, 140)]
    report = conclude([document(one), *filler, document(other)])

    assert told(report) == ({DataWarning.NEAR_DUPLICATES: 1} if is_near else {})
    assert lines(report, DataWarning.NEAR_DUPLICATES) == ([42] if is_near else [])


def test_planted_near_duplicates_are_found_among_many_and_nothing_else_is() -> None:
    rows = [document(prose(60, seed=i)) for i in range(2000)]
    planted = {}
    for i in range(0, 2000, 100):
        changed = rows[i].text.split()
        changed[30] = "changed"
        planted[len(rows)] = i
        rows.append(document(" ".join(changed)))
    report = conclude(rows)
    pairs = {e["line"] - 1: e["with"]["line"] - 1 for e in report.figures["examples"]["near_duplicates"]}

    assert told(report) == {DataWarning.NEAR_DUPLICATES: 20}
    assert pairs == planted


def test_an_instruction_that_all_prompts_begin_with_makes_no_near_duplicates_and_no_leaks() -> None:
    instruction = prose(80)
    rows = [supervised(f"{instruction} {prose(8, seed=i)}", prose(6, seed=10_000 + i)) for i in range(100)]

    assert told(conclude(rows, test=range(90, 100))) == {}


def test_a_system_message_that_rows_share_is_not_compared() -> None:
    rows = [supervised(prose(6, seed=i), prose(4, seed=100 + i), system=prose(80)) for i in range(4)]

    assert told(conclude(rows, test=[3])) == {}


def test_rows_beyond_the_bound_are_not_compared_and_that_is_said() -> None:
    observer = Observer(SPECIAL, shingles=near.Shingles(most_rows=3))
    report = conclude([document(prose(40, seed=i)) for i in (0, 1, 2, 3)] + [document(prose(41))], observer=observer)

    assert told(report) == {}
    search = report.figures["quality"]["nearDuplicateSearch"]
    assert (search["rows"], search["rowsLeftOut"], search["upToRows"]) == (3, 2, 3)
    assert search["seconds"] > 0


THIRTEEN = prose(13, seed=77)


@pytest.mark.parametrize(
    ("train", "test", "how"),
    [
        pytest.param(prose(50), prose(50), "exact", id="the-same-row"),
        pytest.param(
            f"{prose(100)} {THIRTEEN} {prose(100, seed=1)}", f"{prose(60, seed=2)} {THIRTEEN}", "thirteenWords", id="13"
        ),
        pytest.param(
            f"{prose(100)} {THIRTEEN} {prose(100, seed=1)}",
            f"{THIRTEEN.upper().replace(' ', ', ')} {prose(60, seed=2)}",
            "thirteenWords",
            id="13-written-otherwise",
        ),
        pytest.param(SENTENCE[:48], SENTENCE[:48] + " yes", "near", id="near-and-short"),
        pytest.param(
            f"{prose(100)} {THIRTEEN.rsplit(' ', 1)[0]}",
            f"{prose(60, seed=2)} {THIRTEEN.rsplit(' ', 1)[0]}",
            None,
            id="12",
        ),
        pytest.param(prose(200), prose(200, seed=3), None, id="other-words"),
    ],
)
def test_leaks(train: str, test: str, how: str | None) -> None:
    filler = [document(prose(30, seed=i)) for i in range(500, 520)]
    report = conclude([document(train), *filler, document(test)], test=[21])
    found = report.figures["quality"]["leakage"]

    assert told(report) == ({DataWarning.LEAKAGE: 1} if how else {})
    assert (found[how] if how else sum(found.values())) == (1 if how else 0)


def test_leaks_are_found_where_test_comes_before_train() -> None:
    rows = [document(prose(50)), *[document(prose(50, seed=i)) for i in range(1, 30)], document(prose(50))]

    assert lines(conclude(rows, test=[0]), DataWarning.LEAKAGE) == [1]


def test_most_leaks_are_found_though_only_a_sample_of_runs_is_kept() -> None:
    rows = [document(prose(100, seed=i)) for i in range(200)]
    rows += [document(f"{prose(40, seed=1000 + i)} {rows[i].text}") for i in range(20)]
    observer = Observer(SPECIAL, runs=overlap.Runs(most=3000), shingles=near.Shingles(most_rows=0))
    report = conclude(rows, test=range(200, 220), observer=observer)

    assert report.figures["quality"]["thirteenWords"]["oneRunIn"] == 8
    assert report.figures["quality"]["leakage"]["thirteenWords"] == 20


def stars(count: int, first: str = "a") -> str:
    return first + "1b" * count


SECRETS = {
    "aws": "AKIA" + "ABCDEFGHIJKLMNOP",
    "private-key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "github": "ghp_" + stars(18)[:36],
    "github-new": "github_pat_" + stars(40),
    "slack": "xoxb-" + stars(10),
    "openai": "sk-proj-" + stars(20),
    "hugging-face": "hf_" + stars(17),
    "google": "AIza" + stars(17),
    "stripe": "sk_live_" + stars(14),
    "jwt": "eyJ" + stars(8) + ".eyJ" + stars(8) + "." + stars(20),
    "url": "postgres://joe:hunter22@db/x",
    "password": "password: hunter22x",
    "password-is": "My password is hunter22x",
    "api-key": 'API_KEY = "a1b2c3d4e5"',
    "secret-key": "aws_secret_access_key=abcd/1234+efgh",
}
PERSONAL = {
    "email": "write to jane.doe@acme-shop.co.uk today",
    "card": "card 4111 1111 1111 1111 please",
    "card-dashes": "5500-0000-0000-0004",
    "amex": "378282246310005",
    "iban": "DE89 3704 0044 0532 0130 00",
    "iban-plain": "GB29NWBK60161331926819",
}
HARMLESS = {
    "example-domain": "someone@example.com",
    "no-domain": "meet me @ noon, or @home",
    "wrong-check-digit": "4111 1111 1111 1112",
    "no-issuer": "9111 1111 1111 1111",
    "long-number": "12345678901234567890123456789012345",
    "order-number": "order 1234567890123",
    "decimals": "0.4111111111111111",
    "wrong-iban": "DE89 3704 0044 0532 0130 01",
    "talk-of-passwords": "How do I reset my password? The password is wrong.",
    "placeholder": "password: ${PASSWORD1}",
    "monkey": "the monkey: banana99",
    "task": "task-1234567890 and risk-management",
    "url": "https://acme.com/a@b:80",
    "token-of-love": "a token: forever99",
    "words": "AKIA and ghp_ and sk- and eyJ.eyJ.",
    "phone": "call +44 20 7946 0958",
}


@pytest.mark.parametrize(
    ("text", "code"),
    [pytest.param(text, DataWarning.SECRETS, id=f"secret-{name}") for name, text in SECRETS.items()]
    + [pytest.param(text, DataWarning.PERSONAL_DATA, id=f"personal-{name}") for name, text in PERSONAL.items()]
    + [pytest.param(text, None, id=f"harmless-{name}") for name, text in HARMLESS.items()],
)
def test_sensitive_text(text: str, code: DataWarning | None) -> None:
    found = {hit.kind.code for hit in sensitive.find(f"Hello, {text} and so on.")}
    by_row = told(conclude([supervised("hello there", text), supervised("hi", "you")]))

    assert found == ({code} if code else set())
    assert by_row == ({code: 1} if code else {})


@pytest.mark.parametrize("text", [pytest.param(t, id=n) for n, t in (SECRETS | PERSONAL).items()])
def test_what_is_sensitive_is_masked_and_never_told(text: str) -> None:
    report = conclude([supervised("hello there", text), supervised("x", "y", system=text)])
    told_of = str(report)
    masked = sensitive.mask(f"before {text} after")
    kept = {"write", "today", "card", "please", "before", "after", "password", "Password", "My", "API_KEY"}
    parts = [part for part in text.replace("=", " ").split() if len(part) >= 8 and part.strip('":') not in kept]

    assert parts or "1111" in text or "DE89" in text
    assert not [part for part in parts if part in told_of or (part in masked and "secret_access" not in part)]
    assert "4111" not in told_of + masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")


def test_sensitive_text_is_counted_by_row_and_by_kind_wherever_it_is() -> None:
    call = Turn("assistant", "", 1, '{"token": "' + SECRETS["github"] + '"}')
    rows: list[Example] = [
        supervised("a@b.de c@d.de", "x"),
        supervised("a", "x", system=PERSONAL["email"]),
        supervised("b", "x", system=PERSONAL["email"]),
        Supervised("x#1", (Turn("user", "u"), call)),
        pair("p", "c", PERSONAL["card"] + " " + PERSONAL["email"]),
    ]
    report = conclude(rows, test=[1])

    assert told(report) == {DataWarning.PERSONAL_DATA: 4, DataWarning.SECRETS: 1}
    assert report.figures["quality"]["sensitive"] == {"e-mail address": 4, "card number": 1, "GitHub token": 1}
    assert lines(report, DataWarning.PERSONAL_DATA) == [1, 2, 3, 5]


def test_sensitive_text_in_the_middle_of_a_long_text() -> None:
    report = conclude([document(prose(30_000) + " " + PERSONAL["email"] + " " + prose(30_000, seed=1))])

    assert told(report) == {DataWarning.PERSONAL_DATA: 1}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a" * 300_000, id="letters"),
        pytest.param("1" * 300_000, id="digits"),
        pytest.param("1 " * 150_000, id="digits-and-spaces"),
        pytest.param("a." * 150_000 + "@", id="dots"),
        pytest.param("@a." * 100_000, id="at-signs"),
        pytest.param("sk-" + "a" * 300_000, id="key"),
        pytest.param("sk-" * 100_000, id="keys"),
        pytest.param("eyJ" * 100_000, id="jwt"),
        pytest.param("password=" * 30_000, id="passwords"),
        pytest.param("AB12" * 75_000, id="iban"),
        pytest.param("a://" * 75_000 + "@", id="urls"),
    ],
)
@pytest.mark.timeout(20)
def test_no_text_makes_the_search_slow(text: str) -> None:
    assert list(sensitive.find(text[:100_000])) is not None
    conclude([document(text)])


@pytest.mark.parametrize(
    ("text", "token"),
    [
        pytest.param("stop<|im_end|> now", "<|im_end|>", id="token"),
        pytest.param("a </s>", "</s>", id="end"),
        pytest.param("<span></span> <|im|>", None, id="looks-like-one"),
        pytest.param("im_end", None, id="its-name"),
    ],
)
def test_control_tokens_in_text(text: str, token: str | None) -> None:
    report = conclude([supervised("a", text), supervised("b", "c")])

    assert told(report) == ({DataWarning.SPECIAL_TOKENS: 1} if token else {})
    assert report.figures["quality"]["specialTokens"] == ({token: 1} if token else {})


def test_control_tokens_are_those_of_the_tokenizer(tokenizer: Any) -> None:
    assert SpecialTokens.of(tokenizer).find("a<|im_start|>b") == "<|im_start|>"
    assert SpecialTokens.of(None).find("a<|im_start|>b") is None


@pytest.mark.parametrize(
    ("counts", "warned"),
    [
        pytest.param({"a": 100, "b": 10}, True, id="ten-times"),
        pytest.param({"a": 99, "b": 10}, False, id="less"),
        pytest.param({"a": 100}, False, id="one-label"),
        pytest.param({"a": 100, "b": 50, "c": 5}, True, id="the-rarest-counts"),
    ],
)
def test_label_imbalance(counts: dict[str, int], warned: bool) -> None:
    rows = [labeled(f"{label} {i}", label) for label, n in counts.items() for i in range(n)]
    report = conclude(rows)

    assert (DataWarning.LABEL_IMBALANCE in told(report)) is warned
    assert report.labels == counts


def test_labels_are_counted_for_each_side() -> None:
    report = conclude([labeled(str(i), "ab"[i % 2]) for i in range(10)], test=[0, 1, 2])

    assert report.figures["quality"]["labels"] == {"train": {"b": 4, "a": 3}, "test": {"a": 2, "b": 1}}


def test_more_labels_than_a_label_column_has_are_not_kept_by_name() -> None:
    assert len(conclude([labeled(str(i), str(i)) for i in range(1500)]).labels) == 1001


@pytest.mark.parametrize(("rows", "warned"), [(49, True), (50, False)])
def test_few_rows(rows: int, warned: bool) -> None:
    report = conclude([document(str(i)) for i in range(rows + 5)], test=range(rows, rows + 5))

    assert [w.count for w in report.warnings if w.code is DataWarning.FEW_ROWS] == ([rows] if warned else [])


def test_no_rows_at_all() -> None:
    assert conclude([]).warnings == ()


def test_half_characters_and_other_scripts_are_no_trouble() -> None:
    rows = [document(text) for text in ("\ud83d lone", "我们今天去公园散步吧", "", "İstanbul password=İİ12345", "\x00")]

    assert told(conclude(rows)) == {DataWarning.SECRETS: 1}


def test_texts_without_spaces_between_words_are_compared_by_character() -> None:
    text = "他昨天晚上在图书馆里读了一本关于古代历史的书并且写下了很多笔记"
    rows = [document(text), *[document(prose(30, seed=i)) for i in range(20)], document(text.replace("昨", "前"))]

    assert told(conclude(rows)) == {DataWarning.NEAR_DUPLICATES: 1}


def test_all_warnings_together_are_short_enough_for_a_termination_message() -> None:
    place = [("s3://bucket/a/very/long/prefix/" + "n" * 60 + ".jsonl", 123_456_789)]
    kinds = {"password or key in an assignment": 123_456, "temporary AWS access key": 99_999, "e-mail address": 3}
    made = [
        warnings.truncation(10**6, 10**7, 10**5, place),
        *(
            make(10**6, place)
            for make in (
                warnings.duplicates,
                warnings.near_duplicates,
                warnings.conflicting_duplicates,
                warnings.leakage,
            )
        ),
        warnings.label_imbalance({"l" * 200: 10**6, "m" * 200: 1}, 10**6),
        warnings.few_rows(49),
        warnings.personal_data(10**6, kinds, place),
        warnings.secrets(10**6, kinds, place),
        warnings.special_tokens(10**6, ["<|reserved_special_token_123|>"] * 3, place),
    ]

    assert [w.code for w in made if w] == list(DataWarning)
    assert sum(len(w.model_dump_json()) for w in made if w) < 3000


def test_nothing_to_warn_of() -> None:
    made: list[WarningCount | None] = [warnings.truncation(0, 10, 64), warnings.duplicates(0), warnings.few_rows(50)]

    assert made == [None, None, None]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("a bc", "A, BC!", True, id="case-and-punctuation"),
        pytest.param("a bc", "ab c", False, id="where-words-end"),
        pytest.param("a b c", "c b a", False, id="order"),
        pytest.param("a b", "a  b c", False, id="longer"),
    ],
)
def test_hashes_are_of_words(one: str, other: str, same: bool) -> None:
    powers = words.Powers()
    alone, beside = words.batch([one], powers), words.batch([prose(50), other, prose(50)], powers)
    length = len(alone.owner)
    hashes, owner = beside.runs(length)

    assert (alone.runs(length)[0].tolist() == hashes[owner == 1].tolist()) is same


def test_runs_end_where_texts_do() -> None:
    batch = words.batch(["a b c", "", "d e", "f"], words.Powers())

    assert [len(batch.runs(n)[0]) for n in (1, 2, 3, 4)] == [6, 3, 1, 0]
    assert batch.runs(2)[1].tolist() == [0, 0, 2]
    assert words.batch(["1 a 22", "", "x"], words.Powers()).digits().tolist() == [3, 0, 0]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([5], id="one"),
        pytest.param([1, 2, 3, 1000], id="an-outlier"),
        pytest.param(list(range(1, 5000)), id="many"),
        pytest.param([7] * 100, id="all-the-same"),
        pytest.param([0, 0, 0], id="empty-texts"),
    ],
)
def test_the_histogram_holds_every_row(values: list[int]) -> None:
    figures = lengths.figures(Counter(values), 64)
    bars = figures["histogram"]

    assert sum(bar["rows"] for bar in bars) == len(values)
    assert all(bar["rows"] == sum(bar["from"] <= v <= bar["to"] for v in values) for bar in bars), bars
    assert figures["percentiles"]["p100"] == max(values)
    assert bars[0]["from"] == 0
    assert bars[-1]["to"] >= max(values)


def test_no_lengths_no_histogram() -> None:
    assert lengths.figures({}, 64) == {"percentiles": {}, "histogram": [], "sequenceLength": 64}
