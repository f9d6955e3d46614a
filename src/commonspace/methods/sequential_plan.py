"""How much of everything a stage of sequential learning takes, so that all rules do equal work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from commonspace.methods.sequential_fisher import FISHER_ROWS
from commonspace.methods.sequential_training import EPOCHS, HOLDING, cost_of_step

INNER = {"lookahead": (1, 0.05), "mer": (8, 0.2)}  # steps and rate of the inner loop
PASSES, MIN_STEPS, MAX_STEPS = 25, 300, 6000


@dataclass(frozen=True)
class Plan:
    """The size of a stage.

    Attributes:
        steps: To take, a multiple of `EPOCHS`.
        cost: Examples differentiated in each.
        asked: Examples differentiated afterwards, for the Fisher information.
        batch_size: Rows of each new modality a step, where there are as many.
        recall: Rows of the memory a step.
        inner_steps: Of the rules that have an inner loop.
        inner_rate: Their learning rate.
    """

    steps: int
    cost: int
    asked: int
    batch_size: int
    recall: int
    inner_steps: int
    inner_rate: float

    @classmethod
    def of(cls, model: Any, n_new: Sequence[int], n_old: int) -> Plan:
        """Plan a stage of a `Sequential`.

        A step of replay differentiates two batches, or as many rows as there are where they are
        fewer. No rule gets more work than that, times the steps asked for.

        Args:
            model: The method, for its settings.
            n_new: Rows of each new modality.
            n_old: Rows of the memory.
        """
        together, most = len(n_new), max(n_new)
        batch = model.batch_size if together == 1 else max(1, 2 * model.batch_size // together)
        recall = min(model.recall or model.batch_size, n_old)
        steps, rate = INNER.get(model.strategy, (1, 0.0))
        inner_steps = model.inner_steps or steps
        in_step = sum(min(batch, n) for n in n_new)
        cost = cost_of_step(model.strategy, in_step, recall, inner_steps=inner_steps)
        asked = min(FISHER_ROWS, n_new[0]) if model.strategy in HOLDING else 0
        of_replay = 2 * min(model.batch_size, most)
        work = of_replay * _steps(model, most) * together - asked
        return cls(
            steps=EPOCHS * max(1, work // (cost * EPOCHS)),
            cost=cost,
            asked=asked,
            batch_size=batch,
            recall=recall,
            inner_steps=inner_steps,
            inner_rate=float(rate if model.inner_rate is None else model.inner_rate),
        )

    @property
    def evaluations(self) -> int:
        """Examples differentiated in the whole stage."""
        return self.steps * self.cost + self.asked


def _steps(model: Any, n_rows: int) -> int:
    if model.steps is not None:
        return int(model.steps)
    return int(np.clip(PASSES * n_rows // model.batch_size, MIN_STEPS, MAX_STEPS))
