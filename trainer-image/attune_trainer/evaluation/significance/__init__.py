"""How sure a requirement of the gate is met: from figures by row to checks.

| figures by row | interval and p-values | file |
| --- | --- | --- |
| right or wrong, one model | exact binomial (Clopper and Pearson) | shares.py |
| right or wrong, two models | exact McNemar at bar 0, elsewhere Tango's score test (corrected) | pairs.py |
| numbers, or sums of them | studentised bootstrap over rows; at bar 0 sign-flip permutation too | resampling.py |

Each file has one kind of evidence (`evidence.py`), whose interval and p-values never contradict each other: a one-sided
p-value is at most half of 1 - confidence exactly where the two-sided interval leaves the bar out. `figures.py` says
what a metric is made of, `checks.py` asks the manifest's questions.
"""
