"""The closed sets of words in Attune's resources and documents, each member documented where it is spelled."""

from enum import IntEnum, StrEnum


class Method(StrEnum):
    """How the model learns from the data."""

    SFT = "SFT"
    """Supervised fine-tuning: loss on the assistant's or completion's tokens only."""
    DPO = "DPO"
    """Direct preference optimisation against the base as reference (Rafailov et al. 2023)."""
    ORPO = "ORPO"
    """Odds-ratio preference optimisation: no reference model (Hong et al. 2024)."""
    KTO = "KTO"
    """Kahneman-Tversky optimisation from single rated answers (Ethayarajh et al. 2024)."""
    CONTINUED_PRETRAINING = "ContinuedPretraining"
    """Self-supervised next-token training on plain text."""
    CLASSIFICATION = "Classification"
    """One label per text."""


class TuningType(StrEnum):
    """Which weights change."""

    LORA = "LoRA"
    """Low-rank adapters beside frozen weights (Hu et al. 2021)."""
    QLORA = "QLoRA"
    """LoRA over a base quantised to 4-bit NF4 (Dettmers et al. 2023); needs a GPU."""
    FULL = "Full"
    """Every weight of the model."""


class DataFormat(StrEnum):
    """The shape of a row of data."""

    AUTO = "Auto"
    """Preflight looks at the first rows and says which format it found, and why."""
    CHAT = "Chat"
    """`messages`: a list of {role, content}."""
    PROMPT_COMPLETION = "PromptCompletion"
    """`prompt` and `completion`, both text."""
    PREFERENCE = "Preference"
    """`prompt`, `chosen`, `rejected`."""
    RATED = "Rated"
    """`prompt`, `completion` and a `label`: wanted or not."""
    TEXT = "Text"
    """`text`: documents without prompt or label."""
    LABELED = "Labeled"
    """`text` and its `label`."""


class DataWarning(StrEnum):
    """What preflight warns of. The run goes on, unless `dataset.strict` names the warning."""

    TRUNCATION = "truncation"
    """Rows longer than training.sequenceLength; their ends are cut off."""
    DUPLICATES = "duplicates"
    """Rows of train that repeat an earlier one exactly."""
    NEAR_DUPLICATES = "near_duplicates"
    """Rows of train that hardly differ from another (MinHash over words)."""
    CONFLICTING_DUPLICATES = "conflicting_duplicates"
    """Rows of train with the same prompt and different answers."""
    LEAKAGE = "leakage"
    """Rows of test that are in train too: exactly, in 13 words in a row, or nearly."""
    LABEL_IMBALANCE = "label_imbalance"
    """One label has ten times as many rows as another, or more."""
    FEW_ROWS = "few_rows"
    """Fewer than 50 rows to train on."""
    PERSONAL_DATA = "personal_data"
    """Text that looks like an e-mail address or a card number."""
    SECRETS = "secrets"
    """Text that looks like a password, key or token of a service."""
    SPECIAL_TOKENS = "special_tokens"
    """Text that holds the tokenizer's own control tokens, such as `<|im_end|>`."""


class ClassificationStyle(StrEnum):
    """How a model says a label."""

    TOKEN = "Token"  # noqa: S105 - a style, not a password
    """The language model predicts exactly one token, which stands for the label."""
    HEAD = "Head"
    """A classification head on top of the model; for encoders (BERT and the like) and decoders."""


class ClassWeights(StrEnum):
    """How much each label counts in the loss of Classification."""

    BALANCED = "Balanced"
    """Labels with few rows count more: rows / (labels * rows of the label)."""
    UNIFORM = "Uniform"
    """Every row counts the same."""


class Scheduler(StrEnum):
    """How the learning rate changes after warm-up."""

    COSINE = "Cosine"
    """Falls along half a cosine to zero."""
    LINEAR = "Linear"
    """Falls in a straight line to zero."""
    CONSTANT = "Constant"
    """Stays where warm-up left it."""


class OutputFormat(StrEnum):
    """What is published below `model/`."""

    ADAPTER = "Adapter"
    """The adapter alone (LoRA, QLoRA); it is loaded on top of the base."""
    MERGED = "Merged"
    """A whole model, adapter folded in; loads without peft."""
    BOTH = "Both"
    """The whole model, and the adapter in `model/adapter/`."""


class DeletionPolicy(StrEnum):
    """What becomes of a run's files when its FineTuneJob is deleted."""

    RETAIN = "Retain"
    """They stay."""
    DELETE = "Delete"
    """Everything below `<uri>/runs/<run id>/` is removed, the published model too."""


class MetricName(StrEnum):
    """What is measured on the held-out rows, for base and tuned alike."""

    ACCURACY = "Accuracy"
    """Share of rows whose answer or label is the most likely one among those seen in training (a closed set)."""
    EXACT_MATCH = "ExactMatch"
    """Share of rows whose greedily generated answer equals the expected one, white space at the ends apart."""
    PERPLEXITY = "Perplexity"
    """exp of the mean negative log-likelihood per answer token; lower is better."""
    MACRO_F1 = "MacroF1"
    """F1 averaged over labels, each label counting the same."""
    TOKEN_F1 = "TokenF1"  # noqa: S105 - a metric's name, not a password
    """Overlap of answer words, as in SQuAD."""
    ROUGE_L = "ROUGE-L"
    """Longest common subsequence with the expected answer."""
    BLEU = "BLEU"
    """Corpus BLEU."""
    CHRF = "chrF"
    """Character n-gram F-score."""
    JSON_VALID = "JSONValid"
    """Share of answers that are JSON and match `schema`."""
    REGEX_MATCH = "RegexMatch"
    """Share of answers that match `pattern`."""
    LABEL_LOG_LOSS = "LabelLogLoss"
    """Negative log-likelihood of the right label among all labels."""
    PREFERENCE_MARGIN = "PreferenceMargin"
    """Mean log-likelihood of chosen (or desirable) answers less that of rejected (or undesirable) ones, in nats."""
    HUMAN_PREFERENCE = "HumanPreference"
    """Votes or ratings by people, joined by row id."""


class Stage(StrEnum):
    """What a pod is started for; each is one Job per attempt. The first four are the steps of a run, in order."""

    PREFLIGHT = "Preflight"
    """Reads and checks data and tokenizer on CPU, before anything expensive starts."""
    TRAIN = "Train"
    """Trains, and ends with a complete checkpoint."""
    EVALUATE = "Evaluate"
    """Compares tuned with base on the held-out rows."""
    PUBLISH = "Publish"
    """Writes the model, its tokenizer and the manifest below the run's `model/`."""
    MONITOR = "Monitor"
    """Looks at published versions on fresh rows. No step of a run: a TunedModel asks for it on a cron."""
    POLL = "Poll"
    """Lists training data and counts its rows. No step of a run: a FineTuneSchedule asks for it at intervals."""


RUN_STAGES = (Stage.PREFLIGHT, Stage.TRAIN, Stage.EVALUATE, Stage.PUBLISH)
"""The steps of a run, in order."""


class Verdict(StrEnum):
    """What the gate says of an evaluation."""

    PASSED = "Passed"
    """Every requirement is met; with no requirement there is nothing to fail."""
    FAILED = "Failed"
    """A requirement is not met."""
    INCONCLUSIVE = "Inconclusive"
    """The test set is too small to tell."""


class OutcomeState(StrEnum):
    """How an attempt ended, as the pod itself reports it."""

    SUCCEEDED = "Succeeded"
    """The stage is complete."""
    FAILED = "Failed"
    """The stage failed; the exit code says whether another attempt can help."""
    BLOCKED = "Blocked"
    """Something that a person must provide is missing (Secret, bucket, model); looked for again at intervals."""
    STOPPED = "Stopped"
    """Asked to stop, or out of budget; with a checkpoint saved where the exit code is 30."""


class StopReason(StrEnum):
    """Why training stopped with a checkpoint before its end (exit code 30)."""

    SIGNAL = "Signal"
    """SIGTERM: the pod had to go, by suspension, eviction, preemption or a drained node."""
    BUDGET = "Budget"
    """What spec.budget leaves for this attempt is used up."""


class ExitCode(IntEnum):
    """Exit codes of Attune's pods. 10 to 13 are final: the same input would fail again."""

    DONE = 0
    """The stage is complete."""
    UNEXPECTED = 1
    """A fault nobody foresaw; retried up to `spec.retryLimit`."""
    BAD_INPUT = 10
    """The data cannot be used as it is. Final."""
    BAD_CONFIGURATION = 11
    """The FineTuneJob or its runtime asks for something impossible. Final."""
    OUT_OF_MEMORY = 12
    """The model, batch or sequence does not fit. Final."""
    DIVERGED = 13
    """The loss became NaN or infinite, or exploded. Final."""
    STALLED = 14
    """No progress for too long. Retried."""
    STORE_UNREACHABLE = 20
    """Object store unreachable, or something there is missing. Retried."""
    STOPPED_WITH_CHECKPOINT = 30
    """Stopped on request, or out of budget, with a checkpoint saved. Not counted as a failure."""


FINAL_EXIT_CODES = frozenset(
    {ExitCode.BAD_INPUT, ExitCode.BAD_CONFIGURATION, ExitCode.OUT_OF_MEMORY, ExitCode.DIVERGED}
)
"""Exit codes after which no further attempt is made."""


class Role(StrEnum):
    """What a set of store credentials is for; also the name of the folder that it is mounted at."""

    MODEL = "model"
    """Reading the base model."""
    DATA = "data"
    """Reading the dataset."""
    OUTPUT = "output"
    """Reading and writing the run's own prefix."""
