"""Training that survives: its state in the object store while it goes on, and from there exactly on again.

| file | what |
| --- | --- |
| store.py | checkpoints in the store: written with COMPLETE last, found, verified, swept |
| uploader.py | the process that uploads them, so that training need not wait |
| state.py | all of a Trainer's state as safetensors and JSON, and back |
| sharded.py | the same for a model that is spread over the processes: each writes its share |
| gang.py | decisions that all processes take at the same step |
| finding.py | which checkpoint a training goes on from |
| keeper.py | when to save and when to stop, as a callback of the Trainer |
"""
