"""What a stage of sequential learning is given, and what it leaves for the stages after it."""

from __future__ import annotations

from typing import Any

import torch

from commonspace.methods.jobs import arrays_of
from commonspace.methods.memory import Memory
from commonspace.methods.sequential_fisher import fisher_information, stacked, summed
from commonspace.methods.sequential_plan import Plan
from commonspace.methods.sequential_rows import answers, as_batch
from commonspace.networks import UnifiedTrunk
from commonspace.space import Space
from commonspace.training import derive_seed
from commonspace.types import AnyArray, JsonDict

OUTER_RATE = 0.5  # β of MER: how far along the way of its inner steps
ROWS_A_CLASS = 50  # of the memory, all modalities together


def make_job(model: Any, new: dict[str, JsonDict], old: JsonDict, space: Space) -> JsonDict:
    """Settings and arrays of a stage, see `fit_stage`.

    Args:
        model: A `Sequential`, for its settings and what it has learned.
        new: Prepared rows of each new modality.
        old: Those of the memory.
        space: With the classes of the new rows.
    """
    names, n_old = list(new), len(old["x"])
    plan = Plan.of(model, [len(part["x"]) for part in new.values()], n_old)
    rows = {f"new/{name}/{key}": value for name, part in new.items() for key, value in part.items()}
    return {
        "name": names[0] if len(names) == 1 else "joint",
        "names": names,
        "number": len(model.adapters_) + 1,
        "strategy": model.strategy,
        "options": trunk_options(model),
        "directions": space.P,
        **vars(plan),
        "evaluations": plan.evaluations,
        "rate": float(model.learning_rate),
        "outer_rate": OUTER_RATE,
        "weight_decay": float(model.weight_decay),
        "keep": float(model.keep),
        "second_order": model.second_order,
        "learn_rates": model.learn_rates and model.strategy == "lookahead" and n_old > 0,
        "last_layer": model.last_layer,
        "strength": float(model.strength),
        "seed": int(model.random_state),
        **{f"trunk/{key}": value for key, value in arrays_of(model.trunk_).items()},
        **rows,
        **{f"old/{key}": value for key, value in old.items()},
        **model.penalty_,
    }


def trunk_options(model: Any) -> JsonDict:
    """What `build_trunk` needs to know of a `Sequential`."""
    return {
        "width": int(model.width),
        "hidden": [int(width) for width in model.hidden],
        "dim": int(model.dim),
        "dropout": float(model.dropout),
        "input_dropout": float(model.input_dropout),
    }


def with_rows(
    model: Any, memory: Memory, trunk: UnifiedTrunk, new: dict[str, JsonDict], space: Space
) -> Memory:
    """The memory with rows of the modality just learned, cut to its size."""
    name, part = next(iter(new.items()))
    logits = answers(trunk, part["x"], part["gate"]) @ space.P
    seed = derive_seed(model.random_state, name, "memory")
    rows = Memory.of(len(model.adapters_), part["x"], part["y"], logits, seed=seed)
    capacity = ROWS_A_CLASS * space.n_classes if model.memory is None else model.memory
    return memory.joined(rows).cut(capacity)


def with_fisher(
    model: Any, trunk: UnifiedTrunk, new: dict[str, JsonDict], space: Space
) -> dict[str, AnyArray]:
    """What holds weights, with the Fisher information of the modality just learned."""
    found = fisher_information(trunk, as_batch(next(iter(new.values()))), torch.tensor(space.P))
    keep = summed if model.strategy == "ewc" else stacked
    return keep(model.penalty_, found)
