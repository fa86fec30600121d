"""One process of a training with torch's own `fully_shard` on CPUs; started by torchrun, which says which one it is.

    sharded_worker.py <folder> <steps>,<steps>... <state to go on from, or nothing>

After so many steps, it writes the state into `<folder>/<steps>/state`, and into `<folder>/<steps>` the whole weights
with the optimizer's tensors (whole.safetensors) and the mean loss so far (loss); in the end, the model into
`<folder>/saved`. A lone process does not spread its model.
"""

import os
import random
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import save_file
from torch import distributed
from torch.distributed.fsdp import fully_shard
from transformers import LlamaConfig, LlamaForCausalLM, TrainerState

from attune_trainer.checkpointing import sharded
from attune_trainer.checkpointing.gang import Gang
from attune_trainer.checkpointing.state import of_optimizer, put_random
from attune_trainer.distributed import Process
from attune_trainer.methods import sharding

BATCH = 8
CONFIG = {
    "vocab_size": 19,  # which no number of processes divides
    "hidden_size": 8,
    "intermediate_size": 14,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "tie_word_embeddings": True,
}


def main(folder: Path, stops: list[int], before: Path | None) -> None:
    """Trains, from the beginning or from a state."""
    torch.set_num_threads(1)
    process = Process.of(os.environ)
    distributed.init_process_group("gloo")
    trainer = made(process, seed=5 if before else 0)
    gang = Gang(process)
    if before:
        trainer.state = TrainerState.load_from_json(str(before / "trainer_state.json"))
        reader = sharded.reader_of(trainer, before)
        reader.put_weights(trainer, before)
        reader.put_optimizer(trainer, before)
        put_random(trainer, before, process.rank)
    for stop in stops:
        while trainer.state.global_step < stop:
            step(trainer)
        leave(trainer, gang, process, folder / str(stop))
    sharding.gather(trainer.model, is_first=process.is_first)
    if process.is_first:
        trainer.model.save_pretrained(folder / "saved")
    distributed.barrier()
    distributed.destroy_process_group()


def leave(trainer: Any, gang: Gang, process: Process, folder: Path) -> None:
    """Writes the state, and what it is to be compared with."""
    with torch.no_grad():  # as for a validation loss: some layers stay whole after it
        trainer.model(input_ids=torch.zeros(1, 3, dtype=torch.int64))
    snapshot = sharded.writer_of(trainer).take(trainer, gang)
    assert snapshot is not None, "in shards every process has some, and a lone one has all"
    snapshot.write(folder / f"part-{process.rank}")
    gang.wait()
    whole = {name: sharding.whole(weight.detach()).clone() for name, weight in trainer.model.named_parameters()}
    optimizer, _ = of_optimizer(trainer, copy=sharding.whole)
    whole |= {f"optimizer/{name}": value.clone() for name, value in optimizer.items()}
    loss = trainer._tr_loss.clone()
    distributed.all_reduce(loss)
    if process.is_first:
        save_file(whole, folder / "whole.safetensors")
        (folder / "loss").write_text(str(float(loss) / process.world_size))
        for part in sorted(folder.glob("part-*")):
            shutil.copytree(part, folder / "state", dirs_exist_ok=True)


def made(process: Process, seed: int) -> Any:
    """As much of a Trainer as a state is of."""
    torch.manual_seed(seed)
    random.seed(seed + process.rank)
    model = LlamaForCausalLM(LlamaConfig(**CONFIG))
    if process.world_size > 1:
        for layer in model.model.layers:
            fully_shard(layer)
        fully_shard(model)
    decayed = [weight for weight in model.parameters() if weight.dim() > 1]
    others = [weight for weight in model.parameters() if weight.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": decayed}, {"params": others, "weight_decay": 0.0}], lr=0.01)
    arguments = SimpleNamespace(
        process_index=process.rank,
        world_size=process.world_size,
        device=torch.device("cpu"),
        per_device_train_batch_size=BATCH // process.world_size,
        gradient_accumulation_steps=1,
        data_seed=3,
    )
    return SimpleNamespace(
        model=model,
        optimizer=optimizer,
        lr_scheduler=torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 10),
        args=arguments,
        state=TrainerState(max_steps=10),
        train_dataset=range(100),
        is_fsdp_enabled=process.world_size > 1,
        _tr_loss=torch.tensor(0.0),
        _globalstep_last_logged=0,
    )


def step(trainer: Any) -> None:
    """Learns this process's share of a batch that depends on the step alone."""
    generator = torch.Generator().manual_seed(trainer.state.global_step)
    batch = torch.randint(CONFIG["vocab_size"], (BATCH, 6), generator=generator)
    share = batch.chunk(trainer.args.world_size)[trainer.args.process_index]
    loss = trainer.model(input_ids=share, labels=share).loss
    loss.backward()
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    trainer.lr_scheduler.step()
    trainer._tr_loss += loss.detach()
    trainer.state.global_step += 1


if __name__ == "__main__":
    _folder, _stops, *_before = sys.argv[1:]
    main(Path(_folder), [int(stop) for stop in _stops.split(",")], Path(_before[0]) if _before else None)
