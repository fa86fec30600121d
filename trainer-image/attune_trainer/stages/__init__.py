"""One file per stage, each read from top to bottom. A stage takes a Context and returns its Outcome, or raises."""
