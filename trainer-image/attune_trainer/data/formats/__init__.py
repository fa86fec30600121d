"""The shapes of a row, one file per family: from a row of a file to examples of one kind, or all that is wrong."""
