"""What is doubtful about good rows: the warnings of preflight, and figures of the data beside them."""
