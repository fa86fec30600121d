"""The operator: watches FineTuneJobs, decides what each needs next, and writes down what came of it."""

__version__ = "0.1.0"
