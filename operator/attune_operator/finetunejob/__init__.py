"""From a FineTuneJob to its status: observe → plan → build → apply → summarize. Only `reconcile` does I/O."""
