"""Descriptions of status fields whose models are the contract's and have no docstring there, by path.

`kubectl explain` shows them. An entry whose field has got a docstring is refused by the generator, so none goes stale.
"""

STATUS = {
    "status.validation.invalidRows": "Rows that cannot be used.",
    "status.validation.tokens.total": "All of them together.",
    "status.validation.tokens.p50": "Median of an example.",
    "status.validation.tokens.p95": "95 of 100 examples have at most so many.",
    "status.validation.tokens.max": "The longest example.",
    "status.validation.errors": "The first problems found, each with file, line and field.",
    "status.validation.errors.field": "Field of the row, after dataset.columns.",
    "status.validation.errors.message": "What is wrong, in a sentence for people.",
    "status.validation.reportURI": "The whole report, with every problem, in the object store.",
    "status.evaluation.results.tuned": "Figure of the tuned model.",
    "status.evaluation.results.baseline": "Name of the baseline: base, or one of spec.evaluation.baselines.",
    "status.evaluation.results.high": "Upper end of the interval for delta.",
    "status.evaluation.results.pValue": "Probability of such a delta where tuned and baseline do not differ.",
    "status.artifacts.sizeBytes": "Size in bytes.",
}
