"""The parts of a FineTuneJob that its pods act on: what the user writes in the manifest is what RunConfig carries.

Each model is one block of the manifest. A field's docstring is what `kubectl explain` shows.
"""

from typing import Annotated, Any

from pydantic import Field

from attune_contract.abilities import metrics_of
from attune_contract.base import Frozen
from attune_contract.enums import (
    ClassificationStyle,
    ClassWeights,
    DataFormat,
    DataWarning,
    DeletionPolicy,
    Method,
    MetricName,
    OutputFormat,
    Scheduler,
    TuningType,
)
from attune_contract.quantities import Duration, Money, Quantity

URIText = Annotated[str, Field(min_length=1, max_length=1024)]
SecretName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
ColumnName = Annotated[str, Field(min_length=1, max_length=256)]
DEFAULT_VALIDATION_FRACTION = 0.1
"""Share of train that is kept apart where training.keepBest asks for it and nothing else is said."""


class Model(Frozen):
    """The base model."""

    source: URIText
    """Where the base model is: `s3://bucket/prefix`, `hf://org/name@revision` or `pvc://claim/path`."""
    credentials_secret: SecretName | None = None
    """Secret in this namespace with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where needed, AWS_SESSION_TOKEN,
    AWS_REGION, AWS_ENDPOINT_URL or HF_TOKEN. Left out: the pod's own identity."""
    chat_template: Annotated[str, Field(min_length=1, max_length=32768)] | None = None
    """Chat template (Jinja) in the place of the model's own; needed where Chat data meets a model without one."""


class Tuning(Frozen):
    """Which weights change."""

    type: TuningType = TuningType.LORA
    """LoRA trains small adapters, QLoRA the same over a 4-bit base (GPU only), Full every weight."""
    rank: Annotated[int, Field(ge=1, le=1024)] = 16
    """Rank of the adapter matrices. More rank can learn more, and needs more memory."""
    alpha: Annotated[int, Field(ge=1, le=4096)] = 32
    """Scale of the adapter: its output is multiplied by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of adapter inputs that is set to zero while training."""
    target_modules: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=64)] = ("all-linear",)
    """Names of the layers that get adapters; `all-linear` means every linear layer but the output head."""


class Split(Frozen):
    """How rows are held out where no test files are given."""

    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the rows of `train` that is held out for evaluation. Rows with the same prompt stay on one side."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 17
    """The same seed and data give the same split."""
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of the rows of `train` (what is left of it) that training looks at its own progress with; neither learnt
    from nor evaluated on. Left out: 0, or 0.1 where training.keepBest is true."""

    def resolved_validation_fraction(self, keep_best: bool) -> float:
        """The share as given, or what keeping the best checkpoint needs."""
        if self.validation_fraction is not None:
            return self.validation_fraction
        return DEFAULT_VALIDATION_FRACTION if keep_best else 0.0


class Rating(Frozen):
    """How a label that is a number is read as wanted or not (Rated)."""

    desirable_from: Annotated[float, Field(ge=-1e9, le=1e9)]
    """Lowest score of an answer that is wanted; lower ones are unwanted."""


class Dataset(Frozen):
    """Where the examples are and how to read them."""

    train: Annotated[tuple[URIText, ...], Field(min_length=1, max_length=100)]
    """Training data: files, prefixes (ending in `/`) or globs, such as `s3://data/support/*.jsonl`. Files end in
    .jsonl, .json, .csv, .tsv, .parquet or .txt, and may be compressed (.gz, .zst)."""
    test: Annotated[tuple[URIText, ...], Field(max_length=100)] = ()
    """Held-out data. Left out: `split.testFraction` of train is held out."""
    split: Split = Split()
    """How rows are held out where `test` is left out."""
    format: DataFormat = DataFormat.AUTO
    """The shape of a row. Auto looks at the first rows and reports what it found."""
    columns: Annotated[dict[ColumnName, ColumnName], Field(max_length=32)] = {}
    """Names in your files, by the format's field: `{prompt: question, completion: answer}`."""
    rating: Rating | None = None
    """How a label that is a number is read (Rated). Left out: labels are true or false."""
    strict: Annotated[tuple[DataWarning, ...], Field(max_length=16)] = ()
    """Warnings that end preflight like errors, such as `[leakage, secrets]`."""
    max_invalid_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """More bad rows than this fails preflight; up to it they are dropped and reported."""
    credentials_secret: SecretName | None = None
    """Secret in this namespace with the keys to the data (see model.credentialsSecret)."""


class Checkpoint(Frozen):
    """How often training state is saved while training goes on."""

    interval: Duration = "10m"
    """Time between checkpoints."""
    keep: Annotated[int, Field(ge=1, le=100)] = 2
    """How many complete checkpoints are kept."""


class EarlyStopping(Frozen):
    """When training ends before its last step."""

    patience: Annotated[int, Field(ge=1, le=1000)] = 3
    """Measurements of the validation loss in a row without a better one, after which training ends."""


class Training(Frozen):
    """How long and how fast to learn."""

    epochs: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Passes over the training rows. Give this or maxSteps."""
    max_steps: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Optimizer steps. Give this or epochs."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    """Peak learning rate. Left out: 0.0002 for LoRA and QLoRA, 0.00002 for Full."""
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 16
    """Examples (or packed sequences) per optimizer step, over all GPUs; split into micro-batches that fit."""
    sequence_length: Annotated[int, Field(ge=8, le=1_048_576)] = 2048
    """Longest example in tokens; what is longer is cut at the end, and counted in status.validation."""
    stride: Annotated[int, Field(ge=1, le=1_048_576)] | None = None
    """ContinuedPretraining: tokens from the beginning of one window to that of the next. Left out: sequenceLength, so
    that windows do not overlap."""
    packing: bool = False
    """Fill each sequence with several examples that do not see each other."""
    scheduler: Scheduler = Scheduler.COSINE
    """How the learning rate changes after warm-up."""
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Share of the steps in which the learning rate rises to its peak."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Decoupled weight decay (AdamW)."""
    beta: Annotated[float, Field(gt=0, le=100)] | None = None
    """Strength of the preference loss of DPO, ORPO and KTO. Left out: 0.1."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 17
    """Seed of initialisation, order and dropout."""
    checkpoint: Checkpoint | None = None
    """Checkpoints while training goes on. The one at the end is always written."""
    keep_best: bool = False
    """Go on with the weights of the lowest validation loss, rather than those of the last step."""
    early_stopping: EarlyStopping | None = None
    """End training once the validation loss no longer falls; needs keepBest. Left out: every step is done."""

    def peak_learning_rate(self, tuning: TuningType) -> float:
        """The learning rate as given, or the usual default for the kind of tuning."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 2e-5 if tuning is TuningType.FULL else 2e-4


class Classification(Frozen):
    """How labels are learnt (method Classification)."""

    style: ClassificationStyle = ClassificationStyle.TOKEN
    """Token: the language model says the label as one token. Head: a classification head on top of the model."""
    labels: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], Field(max_length=1024)] = ()
    """All labels, in the order of their numbers. Left out: those found in train, sorted."""
    class_weights: ClassWeights = ClassWeights.BALANCED
    """Whether labels with few rows count more."""


class Resources(Frozen):
    """What a training pod gets. The evaluation runs on one such pod."""

    nodes: Annotated[int, Field(ge=1, le=1024)] = 1
    """Pods that train together, one to a node."""
    gpus_per_node: Annotated[int, Field(ge=0, le=64)] = 1
    """Accelerators per pod, of the kind that the runtime names. 0 trains on CPU."""
    cpu: Quantity = "4"
    """CPU cores per pod."""
    memory: Quantity = "16Gi"
    """Memory per pod. Publishing loads the model once more, on CPU in float32: 4 bytes for each parameter."""


class Metric(Frozen):
    """One figure that is taken for base and tuned on the same held-out rows."""

    name: MetricName
    """What to measure."""
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    """JSON Schema that answers must match (JSONValid)."""
    pattern: Annotated[str, Field(max_length=1024)] | None = None
    """Regular expression that answers must match (RegexMatch)."""
    ratings: URIText | None = None
    """File of what people say of the answers of an earlier run over the same data, by the row ids of its
    predictions.jsonl (HumanPreference): .jsonl or .csv with pairwise votes or ratings from 1 to 5. Read with
    dataset.credentialsSecret."""


class Baseline(Frozen):
    """A model to compare with, on the same rows."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
    """`base` is the model before tuning; other names are yours."""
    source: URIText | None = None
    """Another whole model to compare with, such as the one in production: s3://bucket/prefix or
    hf://org/name@revision, with the keys of model.credentialsSecret."""
    system_prompt: Annotated[str, Field(max_length=16384)] | None = None
    """A system prompt for the base, to see whether prompting would have done."""
    few_shot: Annotated[int, Field(ge=0, le=64)] | None = None
    """Examples from train that are put before the prompt."""


class Forgetting(Frozen):
    """A check that general ability is not lost."""

    dataset: Annotated[tuple[URIText, ...], Field(min_length=1, max_length=100)]
    """General text: .txt files, or rows with a `text`; named and read as dataset.train is."""
    max_perplexity_increase: Annotated[float, Field(ge=0, le=100)] = 0.10
    """Largest relative rise of perplexity on it: 0.10 is 10 %."""
    max_token_kl: Annotated[float, Field(gt=0, le=100)] | None = None
    """Largest mean KL divergence of the tuned model from the base per token of it, in nats. Left out: not required."""


class Requirement(Frozen):
    """One condition of the gate."""

    metric: MetricName
    """The metric that it is about; it must be among `metrics`. Bars are in its unit: 0.05 of an Accuracy is five rows
    in a hundred, 0.05 of a BLEU (0 to 100) is next to nothing."""
    minimum: float | None = None
    """What the tuned model's own figure must surely be better than: over it or, for Perplexity and LabelLogLoss, under
    it."""
    min_improvement: float | None = None
    """What the gain over the baseline named in `over` must surely be more than; 0: any gain. Gains count upwards for
    every metric."""
    max_regression: Annotated[float, Field(ge=0)] | None = None
    """What the loss against the baseline named in `over` must surely be less than, on all rows and in every slice."""
    over: Annotated[str, Field(max_length=63)] = "base"
    """Name of the baseline that minImprovement and maxRegression are about."""


class Gate(Frozen):
    """The rule that turns the evaluation into a verdict."""

    require: Annotated[tuple[Requirement, ...], Field(max_length=32)] = ()
    """All of these must hold."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Confidence of the intervals that decide. At 0.95 each side errs in at most 2.5 %, over all requirements together
    (Holm)."""


class Evaluation(Frozen):
    """How the tuned model is compared with its base."""

    metrics: Annotated[tuple[Metric, ...], Field(min_length=1, max_length=32)] | None = None
    """What is measured. The first one is shown in the Score column. Left out: what fits the method (ExactMatch and
    Perplexity for SFT, Perplexity for ContinuedPretraining, PreferenceMargin for DPO, ORPO and KTO, Accuracy for
    Classification)."""
    baselines: Annotated[tuple[Baseline, ...], Field(max_length=8)] = (Baseline(name="base"),)
    """What the tuned model is compared with. The base is always among them."""
    forgetting: Forgetting | None = None
    """A check on general text that the tuned model has not lost what the base could do."""
    slices: Annotated[tuple[ColumnName, ...], Field(max_length=8)] = ()
    """Columns of the rows' files, such as `[language]`: each metric is reported for each of their values too, and
    maxRegression must hold there as well."""
    allow_leakage: bool = False
    """Evaluate even where held-out rows are in train too; the report then says so at its top."""
    gate: Gate | None = None
    """What must hold for the tuned model to be published. Left out: nothing is required."""

    def resolved_metrics(self, method: Method) -> tuple[Metric, ...]:
        """The metrics as given, or those that fit the method."""
        return self.metrics or tuple(Metric(name=name) for name in metrics_of(method).default)


class Output(Frozen):
    """Where the run writes."""

    uri: URIText
    """A run writes only below `<uri>/runs/<run id>/`."""
    format: OutputFormat | None = None
    """What is published. Left out: Adapter for LoRA and QLoRA, Merged for Full."""
    register_: Annotated[SecretName | None, Field(alias="register")] = None
    """Name of a TunedModel that gets the result as its next version."""
    credentials_secret: SecretName | None = None
    """Secret in this namespace with the keys to the output (see model.credentialsSecret)."""
    deletion_policy: DeletionPolicy = DeletionPolicy.RETAIN
    """What becomes of the run's files when the FineTuneJob is deleted."""

    def resolved_format(self, tuning: TuningType) -> OutputFormat:
        """The format as given, or the natural one for the kind of tuning."""
        return self.format or (OutputFormat.MERGED if tuning is TuningType.FULL else OutputFormat.ADAPTER)


class Budget(Frozen):
    """What the run may take at most."""

    max_cost: Money | None = None
    """Money at the runtime's prices, over all attempts, as text: `"25.00"`."""
    max_duration: Duration | None = None
    """Time that the run's pods may run, over all attempts, such as `6h`. Waiting in a queue or for a person is not
    counted."""


class Workload(Frozen):
    """The blocks that pods act on; a FineTuneJob's spec has these, and RunConfig carries them unchanged."""

    model: Model
    """The base model."""
    method: Method
    """How the model learns: SFT, DPO, ORPO, KTO, ContinuedPretraining or Classification."""
    tuning: Tuning = Tuning()
    """Which weights change: adapters (LoRA, QLoRA) or all (Full)."""
    dataset: Dataset
    """The examples to learn from, and those held out."""
    training: Training
    """Length, learning rate, batch and sequence."""
    classification: Classification | None = None
    """How labels are learnt. For method Classification only; left out there: style Token."""
    resources: Resources = Resources()
    """Nodes, accelerators, CPU and memory of the training pods."""
    evaluation: Evaluation = Evaluation()
    """How tuned and base are compared, and what counts as good enough."""
    output: Output
    """Where the run's files and the tuned model go."""

    def resolved_classification(self) -> Classification:
        """The block as given, or the defaults."""
        return self.classification or Classification()

    @property
    def has_head(self) -> bool:
        """Whether a classification head on top of the model says the label."""
        style = self.resolved_classification().style
        return self.method is Method.CLASSIFICATION and style is ClassificationStyle.HEAD
