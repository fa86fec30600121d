"""Has the world moved away from a published model? Statistics of drift, fresh rows, and the report of each look.

| question | from | test | file |
| --- | --- | --- | --- |
| do people ask otherwise? | prompts | domain classifier, AUC on rows that it did not see, permutations | inputs.py |
| do answers come otherwise? | labels | PSI, permutations | labels.py |
| is the champion worse? | labelled rows | exact or bootstrap, against its figure at promotion | drops.py |

`levels.py` shares the allowed rate of false alarms out over them, `look.py` puts them together.
"""
