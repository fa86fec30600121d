"""All of a Trainer's state as safetensors and JSON, and back: weights, optimizer, scheduler, random numbers, position.

| file | what |
| --- | --- |
| trainer_state.json | transformers' own: step, epoch, tokens, log |
| weights.safetensors | every weight that is trained, by name, in the precision that it is trained in |
| optimizer.safetensors, optimizer.json | its tensors, by name of the weight; its groups and what is no tensor |
| scheduler.json | where the learning rate is |
| sampler.json | where in the data: rows, batch, step |
| rng.safetensors | random numbers (Python, NumPy, torch, CUDA) and the loss not yet logged, of each process |
| history.json, best.safetensors | what was reported, and the best weights where they are kept |

A state is taken and put back at the same place: where a step begins, its batch being at hand. Nothing is drawn in
between, so an interrupted training goes on as if nothing had happened. Nothing here is a pickle.
"""

import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from attune_trainer.checkpointing.gang import Gang
from attune_trainer.errors import InvalidConfigurationError

WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"
OPTIMIZER_GROUPS = "optimizer.json"
SCHEDULER = "scheduler.json"
SAMPLER = "sampler.json"
RANDOM = "rng.safetensors"
TRAINER = "trainer_state.json"
HISTORY = "history.json"
BEST = "best.safetensors"
_METRICS = ("_metrics", "_stored_metrics")
"""Where TRL's trainers gather what they log next."""
Tensors = dict[str, torch.Tensor]


@dataclass
class Snapshot:
    """A state in memory, apart from the training that goes on: what to write, by file name."""

    tensors: dict[str, Tensors] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    """What the header of a file of tensors says beside."""

    def write(self, folder: Path) -> None:
        """Writes it to disk. Safe beside a training: tensors are its own, and writing lets other threads go on."""
        folder.mkdir(parents=True)
        for name, document in self.documents.items():
            (folder / name).write_text(json.dumps(document) + "\n", encoding="utf-8")
        for name, tensors in self.tensors.items():
            (folder / name).parent.mkdir(exist_ok=True)
            save_file(tensors, folder / name, metadata=self.headers.get(name))


class StateWriter(Protocol):
    """How a Trainer's weights and optimizer are taken and put back. Sharded ones have another one than whole ones."""

    is_in_parts: bool
    """Whether every process writes a part, rather than the first one all."""

    def take(self, trainer: Any, gang: Gang) -> Snapshot | None:
        """A copy of all of its state. Every process calls it.

        Returns:
            What this process is to write; None: nothing.
        """
        ...

    def put_weights(self, trainer: Any, folder: Path) -> None:
        """Gives its model the weights, before it is wrapped."""
        ...

    def put_optimizer(self, trainer: Any, folder: Path) -> None:
        """Gives optimizer and scheduler their state."""
        ...


class WholeState:
    """For models that every process has whole: the first process writes all, each reads all."""

    is_in_parts = False

    def take(self, trainer: Any, gang: Gang) -> Snapshot | None:
        """See `StateWriter.take`. Only random numbers differ between processes, so they alone are gathered."""
        own = random_of_all(trainer, gang)
        if trainer.args.process_index:
            return None
        made = Snapshot()
        made.tensors[WEIGHTS] = {name: copied(weight) for name, weight in trained(trainer)}
        made.tensors[OPTIMIZER], made.documents[OPTIMIZER_GROUPS] = of_optimizer(trainer)
        made.tensors[RANDOM] = own
        made.documents[SCHEDULER] = trainer.lr_scheduler.state_dict()
        made.documents[SAMPLER] = position(trainer)
        made.documents[TRAINER] = asdict(trainer.state)
        arrived(trainer)
        return made

    def put_weights(self, trainer: Any, folder: Path) -> None:
        """See `StateWriter.put_weights`."""
        kept = load_file(folder / WEIGHTS)
        weights = dict(trained(trainer))
        _demand_same(folder, "weights", set(kept), set(weights))
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(kept[name])

    def put_optimizer(self, trainer: Any, folder: Path) -> None:
        """See `StateWriter.put_optimizer`."""
        demand_position(trainer, folder)
        put_optimizer(trainer, folder)
        put_scheduler(trainer, folder)


def put_random(trainer: Any, folder: Path, rank: int) -> None:
    """Puts back what each process has for itself: random numbers, and the loss that is not yet logged.

    Args:
        trainer: about to do the first step after the state.
        folder: of the state.
        rank: of this process; one that the state does not know keeps the numbers that its seed gave it.
    """
    kept = {int(of): json.loads(bytes(said.numpy())) for of, said in load_file(folder / RANDOM).items()}
    if rank in kept:
        _put_numbers(trainer, kept[rank])
    _put_unlogged(trainer, [kept[of] for of in sorted(kept)], rank)


def random_of_all(trainer: Any, gang: Gang) -> Tensors:
    """What each process has for itself, by rank; every one must ask."""
    heard = gang.bytes_of_all(_own(trainer))
    return {str(rank): torch.frombuffer(bytearray(said), dtype=torch.uint8) for rank, said in enumerate(heard)}


def put_sampler(dataloader: Any, epoch: int) -> None:
    """Has the order of the rows drawn for an epoch that begins in its middle.

    accelerate tells its sampler only where nothing is wrapped around it.
    """
    place = dataloader
    while place is not None:
        sampler: Any = getattr(place, "sampler", None)
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
            return
        place = getattr(place, "batch_sampler", None)


def trained(trainer: Any) -> list[tuple[str, torch.Tensor]]:
    """The weights that are trained, by name."""
    return [(name, weight) for name, weight in trainer.model.named_parameters() if weight.requires_grad]


def copied(tensor: torch.Tensor) -> torch.Tensor:
    """A copy in this machine's memory; off an accelerator it may still be on its way (`arrived`).

    Pinned memory is some ten times as fast to copy to, and torch keeps it for the next checkpoint.
    """
    if tensor.device.type != "cuda":
        return tensor.detach().to("cpu", copy=True).contiguous()
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor.detach(), non_blocking=True)


def arrived(trainer: Any) -> None:
    """Waits for copies that are on their way."""
    if trainer.args.device.type == "cuda":
        torch.cuda.synchronize(trainer.args.device)


def position(trainer: Any) -> dict[str, int]:
    """Where in the data a training is: at the beginning of a step, which the step's number says."""
    given = trainer.args
    return {
        "step": int(trainer.state.global_step),
        "maxSteps": int(trainer.state.max_steps),
        "rows": len(trainer.train_dataset) - getattr(trainer.train_dataset, "missing", 0),
        "microBatch": given.per_device_train_batch_size,
        "accumulation": given.gradient_accumulation_steps,
        "processes": given.world_size,
        "seed": given.data_seed,
    }


def demand_position(trainer: Any, folder: Path) -> None:
    """Refuses a state of which the next step would learn other rows than it did when it was taken.

    The order of an epoch's rows depends on their number and the seed, and a step takes the next batch of it, whichever
    process gets which: so another number of processes goes on where the one before stopped, with no row twice and none
    left out. With as many as before, all else must be as before too.

    Raises:
        InvalidConfigurationError: it is such a state.
    """
    kept, own = _read(folder / SAMPLER), position(trainer)
    for of in (kept, own) if kept["processes"] != own["processes"] else ():
        of["batch"] = of.pop("microBatch") * of.pop("accumulation") * of.pop("processes")
    _demand_same(folder, "position in the data", kept, own)


def of_optimizer(trainer: Any, copy: Callable[[torch.Tensor], torch.Tensor] = copied) -> tuple[Tensors, dict[str, Any]]:
    """The optimizer's state by names of weights rather than by their numbers."""
    inner = _inner(trainer.optimizer)
    names = {id(weight): name for name, weight in trainer.model.named_parameters()}
    tensors: Tensors = {}
    values: dict[str, dict[str, Any]] = {}
    for weight, state in inner.state.items():
        name = names[id(weight)]
        for key, value in state.items():
            if torch.is_tensor(value):
                tensors[f"{name}/{key}"] = copy(value)
            else:
                values.setdefault(name, {})[key] = value
    groups = [
        {
            "parameters": [names[id(weight)] for weight in group["params"]],
            "options": {key: value for key, value in group.items() if key != "params"},
        }
        for group in inner.param_groups
    ]
    return tensors, {"groups": groups, "values": values}


def put_scheduler(trainer: Any, folder: Path) -> None:
    """Gives the scheduler its state."""
    trainer.lr_scheduler.load_state_dict(_read(folder / SCHEDULER))


def put_optimizer(
    trainer: Any,
    folder: Path,
    more: Tensors | None = None,
    share: Callable[[str, torch.Tensor], torch.Tensor] = lambda _, tensor: tensor,
) -> None:
    """Gives the optimizer its state.

    Args:
        trainer: has it.
        folder: of the state.
        more: tensors that are not in the state's file, by weight and key as there.
        share: what this process has of one that is, of a weight of this name.
    """
    inner, document = _inner(trainer.optimizer), _read(folder / OPTIMIZER_GROUPS)
    names = {id(weight): name for name, weight in trainer.model.named_parameters()}
    own = [[names[id(weight)] for weight in group["params"]] for group in inner.param_groups]
    _demand_same(folder, "groups of the optimizer", [group["parameters"] for group in document["groups"]], own)
    numbers = {name: number for number, name in enumerate(name for group in own for name in group)}
    state: dict[int, dict[str, Any]] = {numbers[n]: dict(values) for n, values in document["values"].items()}
    for key, tensor in load_file(folder / OPTIMIZER).items():
        name, _, what = key.rpartition("/")
        state.setdefault(numbers[name], {})[what] = share(name, tensor.clone())  # the file itself goes away
    for key, tensor in (more or {}).items():
        name, _, what = key.rpartition("/")
        state.setdefault(numbers[name], {})[what] = tensor
    groups = [
        {**_typed(kept["options"], group), "params": [numbers[name] for name in kept["parameters"]]}
        for kept, group in zip(document["groups"], inner.param_groups, strict=True)
    ]
    inner.load_state_dict({"state": state, "param_groups": groups})


def _typed(options: dict[str, Any], group: dict[str, Any]) -> dict[str, Any]:
    """JSON knows lists where Python has tuples."""
    return {key: tuple(value) if isinstance(group.get(key), tuple) else value for key, value in options.items()}


def _inner(optimizer: Any) -> Any:
    """Torch's optimizer, out of accelerate's."""
    return getattr(optimizer, "optimizer", optimizer)


def _own(trainer: Any) -> bytes:
    """What this process has for itself, as JSON: whole numbers are exact there, and floats are read as written."""
    version, numbers, gauss = random.getstate()
    kind, keys, place, has_gauss, cached = np.random.get_state(legacy=True)  # noqa: NPY002
    document = {
        "python": [version, list(numbers), gauss],
        "numpy": [kind, [int(k) for k in keys], int(place), int(has_gauss), float(cached)],
        "torch": torch.random.get_rng_state().tolist(),
        "cuda": torch.cuda.get_rng_state().tolist() if trainer.args.device.type == "cuda" else None,
        "loss": float(trainer._tr_loss),  # noqa: SLF001 - the Trainer has no other name for it
        "lossSinceStep": trainer._globalstep_last_logged,  # noqa: SLF001 - same
        "metrics": _metrics(trainer),
    }
    return json.dumps(document).encode()


def _put_numbers(trainer: Any, document: dict[str, Any]) -> None:
    version, numbers, gauss = document["python"]
    random.setstate((version, tuple(numbers), gauss))
    kind, keys, *more = document["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *more))  # noqa: NPY002 - the libraries' own
    torch.random.set_rng_state(torch.tensor(document["torch"], dtype=torch.uint8))
    if document["cuda"] is not None and trainer.args.device.type == "cuda":
        torch.cuda.set_rng_state(torch.tensor(document["cuda"], dtype=torch.uint8))


def _put_unlogged(trainer: Any, of_all: list[dict[str, Any]], rank: int) -> None:
    """Puts back what is not logged yet.

    What is logged is the mean over processes. So where there is another number of them now, each gets the mean of the
    loss; and of the metrics, which are means already, those of the first.
    """
    is_same = len(of_all) == trainer.args.world_size
    loss = of_all[rank]["loss"] if is_same else sum(document["loss"] for document in of_all) / len(of_all)
    document = of_all[rank] if is_same else of_all[0]
    trainer._tr_loss += loss  # noqa: SLF001 - the Trainer has no other name for it
    trainer._globalstep_last_logged = document["lossSinceStep"]  # noqa: SLF001 - same
    for name, kept in document["metrics"].items():
        getattr(trainer, name)["train"].update(kept)


def _metrics(trainer: Any) -> dict[str, dict[str, list[float]]]:
    """What TRL's trainers gathered since they last logged."""
    found = {name: getattr(trainer, name, {}).get("train", {}) for name in _METRICS if hasattr(trainer, name)}
    return {name: {key: [float(v) for v in values] for key, values in of.items()} for name, of in found.items()}


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _demand_same(folder: Path, what: str, kept: Any, own: Any) -> None:
    """Refuses a state of another training. Digests should have told already; this one knows names and numbers.

    Raises:
        InvalidConfigurationError: it is.
    """
    if kept != own:
        raise InvalidConfigurationError(
            f"{folder.name}: the checkpoint's {what} do not fit this training: other resources or another image "
            "than it was made with? Start a new run."
        )
