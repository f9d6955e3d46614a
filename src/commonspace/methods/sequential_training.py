"""One stage of sequential learning: the batches, the rule that updates, and what a rule costs.

A rule is a function of the stage, a batch of the new modality and a batch of the memory; it returns
a scalar whose gradient is the step to take. Costs are counted in examples differentiated, once for
each pass forward and backward, so that rules compare at equal work.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from commonspace.methods.sequential_fisher import rebuilt
from commonspace.methods.sequential_rows import Batch, as_batch, under
from commonspace.networks import UnifiedTrunk
from commonspace.objectives import (
    anchor_penalty,
    class_losses,
    dark_loss,
    with_gradients,
    without_conflict,
)
from commonspace.training import History, Settings, compute_settings, derive_seed, train
from commonspace.training.checkpoint import Checkpoint
from commonspace.training.loop import Callback, Networks, Rows
from commonspace.types import JsonDict

Parameters = dict[str, Tensor]
MEMORY = "\0memory"  # no modality has this name
EPOCHS = 10  # a stage's steps are shown and saved in so many parts


class Rates(nn.Module):
    """Inner learning rates, one a weight, that are learned with the weights (La-MAML)."""

    def __init__(self, parameters: Mapping[str, Tensor], rate: float) -> None:
        super().__init__()
        self.names = list(parameters)
        start = (torch.full_like(value, rate) for value in parameters.values())
        self.values = nn.ParameterList(start)

    def of(self, name: str) -> Tensor:
        """Rates of one parameter, never negative."""
        rate: Tensor = self.values[self.names.index(name)]
        return rate.relu()


class Stage:
    """One stage in training; see `fit_stage` for what ``job`` holds."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        self.job, self.strategy = job, str(job["strategy"])
        self.trunk = build_trunk(job["options"])
        self.trunk.load_state_dict(_tensors(job, "trunk/"))
        self.parameters: Parameters = dict(self.trunk.named_parameters())
        self.p = torch.tensor(job["directions"])
        self.parts = {name: as_batch(dict(under(job, f"new/{name}/"))) for name in job["names"]}
        self.old = as_batch(dict(under(job, "old/"))) if len(job["old/x"]) else None
        self.share = 1 / job["number"]
        self.teacher = copy.deepcopy(self.trunk).eval()
        self.anchors = {name: value.detach().clone() for name, value in self.parameters.items()}
        self.fisher = rebuilt({key: value for key, value in job.items() if "fisher/" in key})
        self.networks = Networks({"trunk": self.trunk})
        if job["learn_rates"]:
            self.networks["rates"] = Rates(self.parameters, job["inner_rate"])
        self.n_rows = {name: len(part) for name, part in self.parts.items()}
        if self.old is not None:
            self.n_rows[MEMORY] = len(self.old)

    def learning_rates(self) -> Mapping[str, float]:
        """Of the trunk, and of learned inner rates."""
        rate = self.job["outer_rate"] if self.by_reptile else self.job["rate"]
        return {"trunk": rate, "rates": self.job["inner_rate"] / 10}

    @property
    def by_reptile(self) -> bool:
        """Whether steps are those of MER: along the way that inner steps went."""
        return self.strategy == "mer" and self.old is not None

    def loss(self, rows: Rows) -> Tensor:
        """The rule's scalar for one batch of each part and of the memory."""
        taken = [part.take(torch.from_numpy(rows[name])) for name, part in self.parts.items()]
        new = taken[0]
        for part in taken[1:]:
            new = new.joined(part)
        old = None
        if self.old is not None:  # a part of a random batch is a smaller random batch
            old = self.old.take(torch.from_numpy(rows[MEMORY][: self.job["recall"]]))
        return RULES[self.strategy](self, new, old)

    def validate(self) -> Mapping[str, float]:
        """Nothing: every step of the budget is taken, and the last network stays."""
        return dict.fromkeys(self.networks, float("nan"))

    def logits(self, parameters: Parameters, rows: Batch) -> Tensor:
        """Logits of all classes, with these parameters."""
        arguments = rows.x, rows.gate
        if parameters is self.parameters:
            h_BE: Tensor = self.trunk(*arguments)
        else:
            h_BE = functional_call(self.trunk, parameters, arguments)
        return h_BE @ self.p

    def class_loss(self, parameters: Parameters, rows: Batch) -> Tensor:
        """L(B; θ): mean loss of the labels of a batch."""
        return class_losses(self.logits(parameters, rows), rows.y, rows.several).mean()

    def query_loss(self, parameters: Parameters, new: Batch, old: Batch, weight: float) -> Tensor:
        """Q(θ) = L(new)/t + (t−1)/t · (L(old) + weight · distance to the logits kept)."""
        both = new.joined(old)
        logits = self.logits(parameters, both)
        each = class_losses(logits, both.y, both.several)
        remembered = each[len(new) :].mean()
        if weight:
            remembered = remembered + weight * dark_loss(logits[len(new) :], old.kept)
        mixed: Tensor = self.share * each[: len(new)].mean() + (1 - self.share) * remembered
        return mixed

    def held(self) -> Tensor:
        """The penalty of EWC, around the weights with which the stage began."""
        penalty = anchor_penalty(self.parameters, self.anchors, self.fisher)
        strength: float = self.job["strength"]
        return strength * penalty


def finetune(stage: Stage, new: Batch, old: Batch | None) -> Tensor:
    """Learn what is new and nothing else; also every rule's first stage."""
    return stage.class_loss(stage.parameters, new)


def replay(stage: Stage, new: Batch, old: Batch | None) -> Tensor:
    """ER: one step on new and remembered rows."""
    if old is None:
        return finetune(stage, new, old)
    return stage.query_loss(stage.parameters, new, old, 0.0)


def distill(stage: Stage, new: Batch, old: Batch | None) -> Tensor:
    """DER++: replay that also keeps the answers that were given when rows were stored."""
    if old is None:
        return finetune(stage, new, old)
    return stage.query_loss(stage.parameters, new, old, stage.job["keep"])


def lookahead(stage: Stage, new: Batch, old: Batch | None) -> Tensor:
    """The query loss *after* inner steps on the new modality alone, averaged over the steps.

    The inner gradients count as constants unless ``second_order``, so the gradient by θ is the
    mean of the query gradients at the points looked at.
    """
    if old is None:
        return finetune(stage, new, old)
    job, fast, queries = stage.job, stage.parameters, []
    rates: Any = stage.networks["rates"] if job["learn_rates"] else None
    moved = [name for name in fast if not job["last_layer"] or name.startswith("output.")]
    for chunk in new.chunks(job["inner_steps"]):
        inner = stage.class_loss(fast, chunk)
        gradients = torch.autograd.grad(
            inner, [fast[name] for name in moved], create_graph=job["second_order"]
        )
        steps = {
            name: fast[name] - (job["inner_rate"] if rates is None else rates.of(name)) * g
            for name, g in zip(moved, gradients, strict=True)
        }
        fast = {**fast, **steps}
        queries.append(stage.query_loss(fast, new, old, job["keep"]))
    return torch.stack(queries).mean()


def mer(stage: Stage, new: Batch, old: Batch | None) -> Tensor:
    """MER, Alg. 1, by small batches: plain steps over new and remembered rows, then Reptile."""
    if old is None:
        return finetune(stage, new, old)
    start, n = stage.parameters, stage.job["inner_steps"]
    fast = {name: value.detach().requires_grad_() for name, value in start.items()}
    both, losses = new.joined(old), []
    for first in range(min(n, len(both))):
        loss = stage.class_loss(fast, both.take(slice(first, None, n)))
        gradients = torch.autograd.grad(loss, list(fast.values()))
        fast = {
            name: (value - stage.job["inner_rate"] * g).detach().requires_grad_()
            for (name, value), g in zip(fast.items(), gradients, strict=True)
        }
        losses.append(loss.detach())
    way = [start[name].detach() - fast[name].detach() for name in start]
    return with_gradients(torch.stack(losses).mean(), list(start.values()), way)


def agem(stage: Stage, new: Batch, old: Batch | None) -> Tensor:
    """A-GEM: the step on new rows, without what would raise the loss of remembered ones."""
    if old is None:
        return finetune(stage, new, old)
    parameters = list(stage.parameters.values())
    loss = stage.class_loss(stage.parameters, new)
    ours = torch.autograd.grad(loss, parameters)
    theirs = torch.autograd.grad(stage.class_loss(stage.parameters, old), parameters)
    return with_gradients(loss, parameters, without_conflict(ours, theirs))


def ewc(stage: Stage, new: Batch, old: Batch | None) -> Tensor:
    """Online EWC: weights that mattered are held near where they were; "hold" likewise."""
    loss = finetune(stage, new, old)
    return loss + stage.held() if stage.fisher else loss


def lwf(stage: Stage, new: Batch, old: Batch | None) -> Tensor:
    """LwF: keep, on rows of the new modality, the answers of the network as it was."""
    if stage.job["number"] == 1:
        return finetune(stage, new, old)
    logits = stage.logits(stage.parameters, new)
    with torch.no_grad():
        before = stage.teacher(new.x, new.gate) @ stage.p
    loss = class_losses(logits, new.y, new.several).mean()
    total: Tensor = loss + stage.job["keep"] * dark_loss(logits, before)
    return total


RULES: dict[str, Callable[[Stage, Batch, Batch | None], Tensor]] = {
    "hold": ewc,
    "finetune": finetune,
    "ewc": ewc,
    "lwf": lwf,
    "agem": agem,
    "mer": mer,
    "replay": replay,
    "distill": distill,
    "lookahead": lookahead,
    "joint": finetune,
}
REMEMBERING = ("agem", "mer", "replay", "distill", "lookahead")
HOLDING = ("hold", "ewc")


def cost_of_step(strategy: str, new: int, old: int, *, inner_steps: int) -> int:
    """Examples differentiated in one step: those that pass forward and backward.

    Args:
        strategy: Among `RULES`.
        new: Rows of new modalities in a step.
        old: Rows of the memory in a step, 0 where there are none.
        inner_steps: Of look-ahead, which differentiates the new rows once in its inner steps, and
            both kinds after each of them; a step of few rows has no more inner steps than rows.
    """
    if strategy == "lookahead" and old:
        return new + (new + old) * min(inner_steps, new)
    return new + (old if strategy in REMEMBERING else 0)


def fit_stage(
    *, job: Mapping[str, Any], checkpoint: Checkpoint | None, callbacks: Sequence[Callback] = ()
) -> tuple[UnifiedTrunk, History]:
    """Train one stage.

    Args:
        job: "name", "names" (of the modalities that are new), "number" (of the stage, from 1),
            "strategy", its settings, "options" of the trunk, and arrays: "directions", "trunk/...",
            "fisher/...", the new rows under "new/NAME/", the memory under "old/".
        checkpoint: Where the stage is saved.
        callbacks: Called after every tenth of it.
    """
    with compute_settings():
        stage = Stage(job)
    settings = Settings(
        epochs=EPOCHS,
        steps=max(1, job["steps"] // EPOCHS),
        batch_size=job["batch_size"],
        betas=(0.9, 0.99),
        weight_decay=0.0 if stage.by_reptile else {"trunk": job["weight_decay"], "rates": 0.0},
        schedule="one-cycle",
        optimizer="sgd" if stage.by_reptile else "adam",
    )
    seed = derive_seed(job["seed"], job["name"])
    history = train(
        stage, settings, name=job["name"], seed=seed, checkpoint=checkpoint, callbacks=callbacks
    )
    return stage.trunk, history


def build_trunk(options: JsonDict) -> UnifiedTrunk:
    """An untrained trunk: also what a stored one is loaded into."""
    return UnifiedTrunk(
        options["width"],
        options["hidden"],
        options["dim"],
        dropout=options["dropout"],
        input_dropout=options["input_dropout"],
    )


def _tensors(job: Mapping[str, Any], prefix: str) -> Parameters:
    return {name: torch.tensor(value) for name, value in under(job, prefix)}
