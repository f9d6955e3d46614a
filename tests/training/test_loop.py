from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from commonspace.errors import InputError
from commonspace.training import Settings, compute_settings, derive_seed, train
from commonspace.training.loop import _schedule, is_clearly_worse

from .task import Regression

SMALL = Settings(epochs=4, batch_size=8)


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(
        np.array_equal(first[name], second[name]) for name in first
    )


def test_training_lowers_the_loss_and_tells_it_by_epoch():
    task = Regression(dropout=0)
    history = train(task, Settings(epochs=30, batch_size=8), name="t", seed=0)
    assert [row["epoch"] for row in history] == list(range(1, 31))
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    for row in history:
        total = (row["valid_loss/a"] + row["valid_loss/b"]) / 2
        assert row["valid_loss"] == pytest.approx(total)


def test_the_seed_alone_decides():
    runs = {}
    for key, seed in (("first", 0), ("again", 0), ("other", 1)):
        task = Regression()
        torch.manual_seed(hash(key) % 1000)  # whatever the caller did with torch before
        history = train(task, SMALL, name="t", seed=seed)
        runs[key] = task.weights(), history
    assert same(runs["first"][0], runs["again"][0]) and runs["first"][1] == runs["again"][1]
    assert not same(runs["first"][0], runs["other"][0])


def test_together_is_the_same_as_one_after_the_other():
    together = Regression(dropout=0)
    train(together, SMALL, name="joint", seed=3)
    for name in together.n_rows:
        alone = Regression({name: 40}, dropout=0)
        train(alone, SMALL, name=name, seed=3)
        for key, value in alone.weights().items():
            np.testing.assert_array_equal(value, together.weights()[key])


def test_an_epoch_shows_every_row_once_and_drops_the_incomplete_batch():
    seen: list[np.ndarray] = []
    task = Regression({"a": 43}, watch=lambda rows: seen.append(rows["a"]))
    train(task, Settings(epochs=3, batch_size=8), name="t", seed=0)
    assert len(seen) == 3 * 5 and {len(rows) for rows in seen} == {8}
    epochs = [np.concatenate(seen[start : start + 5]) for start in (0, 5, 10)]
    for rows in epochs:
        assert len(set(rows)) == 40 and rows.min() >= 0 and rows.max() < 43
    assert not np.array_equal(epochs[0], epochs[1])


def test_each_network_draws_batches_of_its_own():
    seen: list[bool] = []
    task = Regression(watch=lambda rows: seen.append(np.array_equal(rows["a"], rows["b"])))
    train(task, Settings(epochs=1, batch_size=8), name="t", seed=0)
    assert not any(seen)


def test_a_smaller_modality_is_shuffled_again_until_the_largest_ends():
    seen: list[np.ndarray] = []
    task = Regression({"a": 40, "b": 16}, watch=lambda rows: seen.append(rows["b"]))
    train(task, Settings(epochs=1, batch_size=8), name="t", seed=0)
    assert len(seen) == 5
    assert sorted(np.concatenate(seen[:2])) == sorted(np.concatenate(seen[2:4])) == list(range(16))


@pytest.mark.parametrize("n", [1, 5])
def test_fewer_rows_than_a_batch_are_one_batch(n):
    seen: list[np.ndarray] = []
    task = Regression({"a": n}, watch=lambda rows: seen.append(rows["a"]))
    train(task, Settings(epochs=2, batch_size=8), name="t", seed=0)
    assert [sorted(rows) for rows in seen] == [list(range(n))] * 2


class Plan(Regression):
    """Validation values by plan instead of measurement; keeps the weights of every epoch."""

    def __init__(self, **plan: list[float]) -> None:
        super().__init__({name: 16 for name in plan})
        self.plan, self.kept = plan, []

    def validate(self) -> dict[str, float]:
        self.kept.append(self.weights())
        return {name: values[len(self.kept) - 1] for name, values in self.plan.items()}


def test_each_network_ends_at_its_own_best_epoch():
    task = Plan(a=[3, 1, 2, 1], b=[5, 4, 3, 2])
    train(task, SMALL, name="t", seed=0)
    for key, value in task.weights().items():
        best = 1 if key.startswith("a.") else 3  # of equal values the first
        np.testing.assert_array_equal(value, task.kept[best][key])
        if key.endswith("weight"):
            assert not np.array_equal(value, task.kept[0][key])


class Doubt(Plan):
    """Tells of every row, first at the last epoch and then at the best."""

    def __init__(self, rows: dict[str, tuple[list[float], list[float]]], **plan: list[float]):
        super().__init__(**plan)
        self.rows, self.told = rows, 0

    def row_losses(self) -> dict[str, np.ndarray]:
        at, self.told = self.told, self.told + 1
        return {name: np.array(values[at], float) for name, values in self.rows.items()}


def test_an_earlier_epoch_is_taken_where_it_is_clearly_better():
    """Excess of the last: 2 ± 0 of a, 0.25 ± 0.48 of b; c does not doubt; of d the last is best."""
    rows = {
        "a": ([3, 4, 3, 4], [1, 2, 1, 2]),
        "b": ([2, 0, 2, 1], [1, 1, 1, 1]),
        "d": ([1, 1, 1, 1], [1, 1, 1, 1]),
    }
    task = Doubt(rows, a=[2, 1, 3, 3], b=[2, 1, 3, 3], c=[2, 1, 3, 3], d=[4, 3, 2, 1])
    history = train(task, SMALL, name="t", seed=0)
    kept = {"a": 1, "b": 3, "c": 1, "d": 3}
    for key, value in task.weights().items():
        np.testing.assert_array_equal(value, task.kept[kept[key[0]]][key])
    assert [row["valid_loss/b"] for row in history] == [2, 1, 3, 3]


@pytest.mark.parametrize(
    ("losses", "clearly"),
    [
        ([1.5, 1.5, 1.5, 1.4], True),  # 0.475 ± 0.025
        ([2, 0, 2, 1], False),  # 0.25 ± 0.48
        ([2, 1, 1, 1], False),  # 0.25 ± 0.25: not more
        ([1, 1, 1, 1], False),
        ([0, 0, 0, 0], False),
        ([9], False),  # of one row nothing is known
        ([], False),
    ],
)
def test_clearly_worse_is_more_than_a_standard_error(losses, clearly):
    assert is_clearly_worse(np.array(losses, float), np.ones(len(losses))) == clearly


@pytest.mark.parametrize(("errors", "clearly"), [(1, True), (1.9, True), (2.1, False)])
def test_how_many_standard_errors_can_be_said(errors, clearly):
    losses = np.array([2, 1.5, 1, 1.5, 1.5])  # 0.5 above 1, ± 0.158: 3.16 standard errors
    losses = losses - (0.5 - 2 * 0.35355339 / 5**0.5)  # two of them
    assert is_clearly_worse(losses, np.ones(5), errors=errors) == clearly


def test_without_validation_the_last_epoch_stays():
    nan = float("nan")
    task = Plan(a=[nan] * 4)
    history = train(task, Settings(epochs=4, batch_size=8, patience=1), name="t", seed=0)
    assert len(history) == 4 and all("valid_loss" not in row for row in history)
    assert same(task.weights(), task.kept[-1])


def test_patience_waits_for_the_last_network_that_improves():
    task = Plan(a=[3, 1, 2, 2, 2, 2, 2, 2], b=[5, 4, 3, 4, 4, 4, 4, 4])
    history = train(task, Settings(epochs=8, batch_size=8, patience=2), name="t", seed=0)
    assert len(history) == 5


def test_a_loss_that_is_not_finite_is_named():
    task = Regression()
    task.data["a"] = task.data["a"][0] * float("inf"), task.data["a"][1]
    with pytest.raises(InputError, match="speech: the training loss became nan in epoch 1"):
        train(task, SMALL, name="speech", seed=0)


def test_the_one_cycle_schedule_rises_linearly_and_falls_as_a_cosine():
    factors = np.array(_schedule(Settings(schedule="one-cycle"), 200))
    np.testing.assert_allclose(factors[:20], np.arange(1, 21) / 20)
    assert factors.argmax() == 19 and factors.max() == 1
    assert (np.diff(factors[19:]) < 0).all()
    np.testing.assert_allclose(factors[19 + 90], 0.5, atol=1e-12)  # half of the way down
    assert factors[-1] == pytest.approx(0, abs=1e-12)
    assert _schedule(Settings(), 3) == [1, 1, 1]
    for total in (1, 2, 3):
        factors = np.array(_schedule(Settings(schedule="one-cycle"), total))
        assert len(factors) == total and np.isfinite(factors).all() and factors.max() == 1


def test_the_schedule_runs_over_all_epochs():
    """The factor is 0 at the very last step and nowhere else: only that step changes nothing."""
    task = Regression(dropout=0, valid=False)
    seen: list[dict[str, np.ndarray]] = []
    task.watch = lambda rows: seen.append(task.weights())
    settings = Settings(epochs=4, batch_size=8, schedule="one-cycle")
    train(task, settings, name="t", seed=0)
    seen.append(task.weights())
    unchanged = [same(a, b) for a, b in pairwise(seen)]
    assert unchanged == [False] * 19 + [True]


@pytest.mark.parametrize("change", [{"schedule": "one-cycle"}, {"clip": 1e-3}, {"weight_decay": 1}])
def test_every_setting_changes_what_is_learned(change):
    plain, changed = Regression(), Regression()
    train(plain, SMALL, name="t", seed=0)
    train(changed, Settings(epochs=4, batch_size=8, **change), name="t", seed=0)
    assert not same(plain.weights(), changed.weights())


def test_dropout_is_on_in_training_and_off_after_it():
    task = Regression()
    modes: list[bool] = []
    task.watch = lambda rows: modes.append(task.networks.training)
    train(task, SMALL, name="t", seed=0)
    assert all(modes) and not task.networks.training


def test_validation_sees_no_dropout():
    task, modes = Regression(), []
    validate = task.validate

    def watched():
        modes.append((task.networks.training, torch.is_grad_enabled()))
        return validate()

    task.validate = watched
    train(task, Settings(epochs=2, batch_size=20), name="x", seed=0)
    assert modes == [(False, False)] * 2


def test_names_that_torch_reserves_are_names_like_others():
    """A modality may be called "v1.5", "type" or "keys"."""
    task = Regression({"v1.5": 16, "type": 16, "keys": 16, "": 16})
    train(task, SMALL, name="t", seed=0)
    assert set(task.networks.keys()) == {"v1.5", "type", "keys", ""}
    other = Regression({"v1.5": 16, "type": 16, "keys": 16, "": 16})
    for name, network in other.networks.items():
        network.load_state_dict(task.networks[name].state_dict())
    assert same(other.weights(), task.weights())


def test_the_callers_torch_is_left_as_it_was():
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        torch.set_num_threads(2)
        torch.set_float32_matmul_precision("high")
        torch.manual_seed(5)
        expected = torch.rand(3)
        torch.manual_seed(5)
        numpy_state = np.random.get_state()[1].tolist()
        inside: list[int] = []
        task = Regression(watch=lambda rows: inside.append(torch.get_num_threads()))
        train(task, SMALL, name="t", seed=0)
        assert set(inside) == {1}
        assert torch.equal(torch.rand(3), expected)
        assert np.random.get_state()[1].tolist() == numpy_state
        assert torch.get_num_threads() == 2
        assert torch.get_float32_matmul_precision() == "high"
        with pytest.raises(RuntimeError), compute_settings(threads=1):
            raise RuntimeError
        assert torch.get_num_threads() == 2
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])


def test_linear_algebra_of_numpy_takes_as_many_threads():
    def threads() -> set[int]:
        np.ones((2, 2)) @ np.ones((2, 2))
        return {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}

    with threadpool_limits(2, user_api="blas"):
        assert threads() == {2}
        with compute_settings():
            assert threads() == {1}
        assert threads() == {2}


def test_products_in_training_are_those_of_float32():
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.randn(300, 300, generator=generator) for _ in range(2))
    exact = a.double() @ b.double()
    with compute_settings():
        error = float(((a @ b).double() - exact).norm() / exact.norm())
    assert error < 2e-6


def test_seeds_depend_on_every_name_and_on_nothing_else():
    seeds = {
        derive_seed(state, *names)
        for state in (0, 1)
        for names in [(), ("a",), ("b",), ("a", "b"), ("ab",), ("a", 1)]
    }
    assert len(seeds) == 12 and all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(np.int64(7), "a") == derive_seed(7, "a")
    # SHA-256 of "0\0a": the recipe may not change, or seeds no longer give the same models.
    assert derive_seed(0, "a") == 4174393671465045295


def test_an_epoch_may_have_a_number_of_steps_of_its_own():
    seen: list[int] = []
    task = Regression({"a": 20}, watch=lambda rows: seen.append(len(rows["a"])))
    history = train(task, Settings(epochs=3, batch_size=8, steps=7), name="t", seed=0)
    assert seen == [8] * 21 and len(history) == 3


def test_plain_gradient_steps_by_hand():
    task = Regression({"a": 8}, dropout=0)
    before = [value.detach().clone() for value in task.networks.parameters()]
    loss = task.loss({"a": np.arange(8)})
    gradients = torch.autograd.grad(loss, list(task.networks.parameters()))
    train(task, Settings(epochs=1, batch_size=8, optimizer="sgd"), name="t", seed=0)
    for old, g, value in zip(before, gradients, task.networks.parameters(), strict=True):
        torch.testing.assert_close(value.detach(), old - 0.01 * g, rtol=1e-4, atol=1e-6)


def test_a_task_may_solve_for_something_before_each_epoch():
    """In evaluation mode, with what it finds in force for the epoch."""
    seen = []

    class Solving(Regression):
        def alternate(self, epoch: int) -> None:
            seen.append((epoch, any(network.training for network in self.networks.values())))

    train(Solving(), Settings(epochs=3, batch_size=8), name="solving", seed=0)
    assert seen == [(0, False), (1, False), (2, False)]
