"""Runs a stage as `python -m attune_trainer` does, the model of a training by several processes spread over CPUs.

accelerate spreads models over GPUs only. So here torch's `fully_shard` does, as the model is loaded, and transformers
is told that it is done; all that comes after is as on GPUs.
"""

import sys
from typing import Any

from torch import distributed
from torch.distributed.fsdp import fully_shard

from attune_trainer.checkpointing import sharded
from attune_trainer.command import main
from attune_trainer.methods import causal
from attune_trainer.methods.base import Job

_load = causal.causal_base


def _spread(job: Job) -> Any:
    model = _load(job)
    distributed.init_process_group("gloo")
    for layer in model.model.layers:
        fully_shard(layer)
    fully_shard(model)
    type(model).is_distributed_loading_by_transformers = True
    return model


if __name__ == "__main__":
    causal.causal_base = _spread
    sharded.writer_of = lambda _: sharded.ShardedState()
    sys.exit(main())
