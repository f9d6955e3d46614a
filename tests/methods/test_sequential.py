"""Sequential learning: stages that can be interrupted, and rules against their definitions."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.module import register_module_forward_pre_hook

import commonspace as cs
from commonspace.benchmarks.sequential import Scale, Trial, run_trial
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError, UnsupportedError
from commonspace.evaluation import Course
from commonspace.methods import sequential_training as rules
from commonspace.methods.sequential_fisher import (
    fisher_information,
    rebuilt,
    stacked,
    summed,
)
from commonspace.methods.sequential_plan import Plan
from commonspace.methods.sequential_rows import Batch, make_adapter
from commonspace.methods.sequential_training import HOLDING, REMEMBERING, RULES, Stage
from commonspace.networks import UnifiedTrunk
from commonspace.training import Run

SMALL: dict[str, Any] = {
    "dim": 16,
    "width": 12,
    "hidden": (24, 16),
    "steps": 20,
    "batch_size": 8,
    "memory": 18,
}
STRATEGIES = [name for name in RULES if name != "joint"]


@pytest.fixture(scope="module")
def three() -> Dataset:
    dims = {"image": 8, "text": 6, "audio": 5}
    return make_dataset(n_items=90, n_classes=3, dims=dims, noise=0.5, seed=1)["train"]


def add(model: cs.Sequential, data: Dataset, name: str, **more: Any) -> None:
    part = data[name]
    model.fit_modality(name, part.x, part.labels, items=part.items, **more)


def same(first: cs.Sequential, second: cs.Sequential) -> bool:
    """Whether two models are the same to the bit, in all that they keep."""
    one, other = first.state(), second.state()
    return one.info == other.info and all(
        ours.keys() == theirs.keys()
        and all(np.array_equal(ours[k], theirs[k], equal_nan=True) for k in ours)
        for ours, theirs in [
            (one.shared, other.shared),
            *((one.parts[name].arrays, other.parts[name].arrays) for name in one.parts),
        ]
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_learning_today_and_next_month_is_learning_at_once(strategy, three, tmp_path):
    """Save, load and go on: the same bits as one call, memory and all."""
    at_once = cs.Sequential(**SMALL, strategy=strategy).fit(three)
    model = cs.Sequential(**SMALL, strategy=strategy).fit(three.select(["image"]))
    for name in ("text", "audio"):
        cs.save(model, tmp_path)
        model = cs.load(tmp_path)
        add(model, three, name)
    assert same(at_once, model)
    assert at_once.evaluations_ == model.evaluations_
    assert at_once.memory_bytes == model.memory_bytes
    assert (len(model.memory_) > 0) == (strategy in REMEMBERING)
    assert bool(model.penalty_) == (strategy in HOLDING)


class StoppedError(Exception):
    pass


class StopAt:
    def __init__(self, name: str, epoch: int) -> None:
        self.at = name, epoch

    def on_epoch(self, name: str, epoch: int, epochs: int, metrics: dict[str, float]) -> None:
        if (name, epoch) == self.at:
            raise StoppedError


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_stage_that_was_cut_off_continues_to_the_same_bits(strategy, three, tmp_path):
    whole = cs.Sequential(**SMALL, strategy=strategy).fit(three)
    model = cs.Sequential(**SMALL, strategy=strategy)
    with pytest.raises(StoppedError):
        model.fit(three, run=Run(checkpoints=tmp_path, callbacks=(StopAt("text", 6),)))
    assert not hasattr(model, "space_")
    seen: list[tuple[str, int]] = []

    class Watch:
        def on_epoch(self, name: str, epoch: int, epochs: int, metrics: Any) -> None:
            seen.append((name, epoch))

    model.fit(three, run=Run(checkpoints=tmp_path, callbacks=(Watch(),)))
    assert same(whole, model)
    assert seen[0] == ("text", 7), "the stage goes on after its last epoch"


def test_a_stage_that_fails_leaves_the_model_as_it_was(three):
    model = cs.Sequential(**SMALL).fit(three.select(["image", "text"]))
    before = copy.deepcopy(model)
    with pytest.raises(StoppedError):
        add(model, three, "audio", run=Run(callbacks=(StopAt("audio", 3),)))
    assert same(model, before) and model.modalities == ("image", "text")
    assert set(model.evaluations_) == {"image", "text"}


def test_all_strategies_do_equal_work(three):
    """Counted in examples that pass forward and backward, by watching the trunk."""
    counts, two = {}, three.select(["image", "text"])
    for strategy in RULES:
        with Watched() as watched:
            model = cs.Sequential(**{**SMALL, "steps": 60}, strategy=strategy).fit(two)
        counts[strategy] = sum(model.evaluations_.values())
        extra = 2 * len(three["image"]) if strategy in HOLDING else 0
        assert watched.rows + extra == pytest.approx(counts[strategy], abs=3)
    assert max(counts.values()) == counts["replay"], "no strategy does more work"
    assert min(counts.values()) > 0.85 * counts["replay"]  # a stage has a whole number of steps


def test_few_rows_take_no_more_steps_than_many(three):
    """A step of replay that finds fewer rows than a batch differentiates those there are."""
    few = three.select(["image", "text"]).take({"image": np.arange(4), "text": np.arange(4)})
    for strategy in RULES:
        settings = {**SMALL, "steps": 60, "batch_size": 64, "strategy": strategy}
        model = cs.Sequential(**settings).fit(few)
        assert max(model.evaluations_.values()) <= 60 * 2 * 4, strategy


class Watched:
    """Counts rows that pass the trunk with gradients to come."""

    def __enter__(self) -> Watched:
        self.rows = 0
        self.hook = register_module_forward_pre_hook(self.count)
        return self

    def count(self, module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, UnifiedTrunk) and torch.is_grad_enabled() and module.training:
            self.rows += len(inputs[0])

    def __exit__(self, *_: object) -> None:
        self.hook.remove()


@pytest.mark.parametrize(
    ("settings", "n_new", "n_old", "steps", "cost"),
    [
        ({"strategy": "replay"}, [300], 0, 160, 64),
        ({"strategy": "replay"}, [300], 200, 80, 128),
        ({"strategy": "replay"}, [10], 200, 20, 10 + 64),  # work of 20 rows a step, in tens
        ({"strategy": "hold"}, [300], 0, 150, 64),  # 256 rows are asked for their gradients
        ({"strategy": "lookahead"}, [300], 200, 50, 64 + 128),
        ({"strategy": "lookahead", "inner_steps": 4}, [2], 200, 10, 2 + 2 * 66),
        ({"strategy": "joint"}, [300] * 5, 0, 400, 125),
    ],
)
def test_stages_planned_by_hand(settings, n_new, n_old, steps, cost):
    plan = Plan.of(cs.Sequential(steps=80, batch_size=64, **settings), n_new, n_old)
    assert (plan.steps, plan.cost) == (steps, cost)
    assert plan.evaluations == steps * cost + (256 if settings["strategy"] == "hold" else 0)


@pytest.mark.parametrize(("inner_steps", "expected"), [(1, 8 + 16), (4, 8 + 64)])
def test_the_cost_of_look_ahead(inner_steps, expected):
    assert rules.cost_of_step("lookahead", 8, 8, inner_steps=inner_steps) == expected
    assert rules.cost_of_step("lookahead", 8, 0, inner_steps=inner_steps) == 8
    assert rules.cost_of_step("lookahead", 2, 8, inner_steps=4) == 2 + 2 * 10
    assert rules.cost_of_step("replay", 8, 4, inner_steps=1) == 12
    assert rules.cost_of_step("ewc", 8, 8, inner_steps=1) == 8


# Rules, on a network that is one linear layer of given numbers


def batch(n: int, seed: int, several: bool = False) -> Batch:
    rng = np.random.default_rng(seed)
    y = np.eye(3, dtype=np.float32)[rng.integers(0, 3, n)]
    x, kept = (torch.tensor(rng.normal(size=(n, k)).astype(np.float32)) for k in (4, 3))
    flags = torch.full((n,), several)
    return Batch(x, torch.ones(n, 5), torch.tensor(y), flags, kept)


def stage(strategy: str, **changes: Any) -> Stage:
    torch.manual_seed(0)
    trunk = UnifiedTrunk(4, [5], 3)
    new, old = batch(8, 1), batch(8, 2)
    job = {
        "name": "b",
        "names": ["b"],
        "number": 3,
        "strategy": strategy,
        "options": {"width": 4, "hidden": [5], "dim": 3, "dropout": 0.0, "input_dropout": 0.0},
        "directions": np.eye(3, dtype=np.float32),
        "rate": 1e-3,
        "outer_rate": 0.5,
        "keep": 0.7,
        "recall": 8,
        "inner_steps": 2,
        "inner_rate": 0.1,
        "second_order": False,
        "learn_rates": False,
        "last_layer": False,
        "strength": 3.0,
        **{f"trunk/{key}": value.numpy() for key, value in trunk.state_dict().items()},
        **{f"new/b/{key}": value.numpy() for key, value in vars(new).items()},
        **{f"old/{key}": value.numpy() for key, value in vars(old).items()},
        **changes,
    }
    return Stage(job)


def gradient(made: Stage, new: Batch, old: Batch) -> list[torch.Tensor]:
    loss = RULES[made.strategy](made, new, old)
    return list(torch.autograd.grad(loss, list(made.parameters.values())))


def forward(values: dict[str, torch.Tensor], rows: Batch) -> torch.Tensor:
    h = (rows.x @ values["hidden.0.weight"].T + values["hidden.0.bias"]).relu()
    return h @ values["output.weight"].T + values["output.bias"]


def class_loss(values: dict[str, torch.Tensor], rows: Batch) -> torch.Tensor:
    return functional.cross_entropy(forward(values, rows), rows.y.argmax(dim=1))


def query(values: dict[str, torch.Tensor], new: Batch, old: Batch, keep: float) -> torch.Tensor:
    held = (forward(values, old) - old.kept).square().mean()
    return class_loss(values, new) / 3 + (class_loss(values, old) + keep * held) * 2 / 3


def grads(loss: torch.Tensor, values: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(values.values()), create_graph=True))


def expect(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("strategy", "keep"), [("replay", 0.0), ("distill", 0.7)])
def test_replay_and_distillation_are_what_they_say(strategy, keep):
    made, new, old = stage(strategy), batch(8, 3), batch(6, 4)
    values = made.parameters
    expect(gradient(made, new, old), grads(query(values, new, old, keep), values))


def test_look_ahead_is_the_mean_of_the_query_gradients_at_the_points_looked_at():
    made, new, old = stage("lookahead"), batch(8, 3), batch(6, 4)
    point = {k: v.detach().clone().requires_grad_() for k, v in made.parameters.items()}
    total = [torch.zeros_like(v) for v in point.values()]
    for rows in (slice(0, 4), slice(4, 8)):
        inner = grads(class_loss(point, new.take(rows)), point)
        point = {
            k: (v - 0.1 * g).detach().requires_grad_()
            for (k, v), g in zip(point.items(), inner, strict=True)
        }
        at = grads(query(point, new, old, 0.7), point)
        total = [t + g / 2 for t, g in zip(total, at, strict=True)]
    expect(gradient(made, new, old), total)


def test_look_ahead_of_second_order_agrees_with_finite_differences():
    made, new, old = stage("lookahead", second_order=True), batch(8, 3), batch(6, 4)
    weight = made.parameters["output.bias"]
    at = list(made.parameters).index("output.bias")
    found = gradient(made, new, old)[at]
    for k in range(3):
        sides = []
        for step in (1e-2, -1e-2):
            with torch.no_grad():
                weight[k] += step
            sides.append(float(RULES["lookahead"](made, new, old).detach()))
            with torch.no_grad():
                weight[k] -= step
        assert float(found[k]) == pytest.approx((sides[0] - sides[1]) / 2e-2, rel=2e-2, abs=2e-4)


def test_look_ahead_by_the_last_layer_and_with_learned_rates():
    new, old = batch(8, 3), batch(6, 4)
    layer = stage("lookahead", last_layer=True, inner_steps=1)
    values = layer.parameters
    names = ["output.weight", "output.bias"]
    inner = torch.autograd.grad(class_loss(values, new), [values[n] for n in names])
    moved = {**values, **{n: values[n] - 0.1 * g for n, g in zip(names, inner, strict=True)}}
    expect(gradient(layer, new, old), grads(query(moved, new, old, 0.7), values))
    learned = stage("lookahead", learn_rates=True, inner_steps=1)
    loss = RULES["lookahead"](learned, new, old)
    rates = list(learned.networks["rates"].parameters())
    for rate, g in zip(torch.autograd.grad(loss, rates), rates, strict=True):
        assert rate.shape == g.shape and rate.abs().sum() > 0


def test_look_ahead_without_a_step_is_distillation():
    new, old = batch(8, 3), batch(6, 4)
    still = gradient(stage("lookahead", inner_rate=0.0), new, old)
    expect(still, gradient(stage("distill"), new, old))


def test_mer_goes_half_the_way_of_its_inner_steps():
    """Reptile: θ + β (θ' − θ), with θ' after plain steps over interleaved chunks."""
    made, new, old = stage("mer"), batch(4, 3), batch(4, 4)
    start = {k: v.detach().clone() for k, v in made.parameters.items()}
    point = {k: v.clone().requires_grad_() for k, v in start.items()}
    both = new.joined(old)
    for rows in ([0, 2, 4, 6], [1, 3, 5, 7]):
        step = grads(class_loss(point, both.take(rows)), point)
        point = {
            k: (v - 0.1 * g).detach().requires_grad_()
            for (k, v), g in zip(point.items(), step, strict=True)
        }
    assert made.by_reptile and made.learning_rates()["trunk"] == 0.5
    optimizer = torch.optim.SGD(made.trunk.parameters(), lr=0.5)
    RULES["mer"](made, new, old).backward()
    optimizer.step()
    for key, value in made.parameters.items():
        torch.testing.assert_close(value.detach(), start[key] + 0.5 * (point[key] - start[key]))


def test_agem_takes_the_projected_step():
    made, new, old = stage("agem"), batch(8, 3), batch(6, 4)
    old = Batch(new.x, new.gate, new.y.roll(1, dims=1), old.several[:1].expand(8), new.kept)
    values = made.parameters
    g, r = (
        torch.cat([t.ravel() for t in grads(class_loss(values, b), values)]) for b in (new, old)
    )
    assert g @ r < 0
    found = torch.cat([t.ravel() for t in gradient(made, new, old)])
    torch.testing.assert_close(found, (g - (g @ r) / (r @ r) * r).detach(), rtol=1e-3, atol=1e-5)


def test_ewc_pulls_towards_where_the_stage_began():
    ones = {
        f"fisher/{key}": np.full(value.shape, 2.0, np.float32)
        for key, value in stage("ewc").parameters.items()
    }
    made, new = stage("ewc", **ones), batch(8, 3)
    plain = [g.detach() for g in grads(class_loss(made.parameters, new), made.parameters)]
    expect(gradient(made, new, None), plain)  # nothing has moved yet
    with torch.no_grad():
        for value in made.parameters.values():
            value += 0.25
    moved = grads(class_loss(made.parameters, new), made.parameters)
    expect(gradient(made, new, None), [g + 3.0 * 2.0 * 0.25 for g in moved])


def test_lwf_keeps_the_answers_of_the_network_as_it_was():
    made, new = stage("lwf"), batch(8, 3)
    before = forward(made.parameters, new).detach()
    with torch.no_grad():
        made.parameters["output.bias"] += torch.tensor([0.3, 0.0, -0.3])
    values = made.parameters
    held = (forward(values, new) - before).square().mean()
    expect(gradient(made, new, None), grads(class_loss(values, new) + 0.7 * held, values))


# Fisher information


@pytest.mark.parametrize("several", [False, True])
def test_fisher_information_equals_a_loop_over_rows(several):
    made, rows = stage("ewc"), batch(5, 7, several=several)
    found = fisher_information(made.trunk, rows, made.p)
    expected = {key: torch.zeros_like(value) for key, value in made.parameters.items()}
    for row in range(5):
        one = rows.take(slice(row, row + 1))
        logits = forward(made.parameters, one)
        if several:
            loss = functional.binary_cross_entropy_with_logits(logits, one.y, reduction="sum")
        else:
            loss = class_loss(made.parameters, one)
        for key, g in zip(expected, grads(loss, made.parameters), strict=True):
            expected[key] += g.detach().square() / 5
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-7)


def test_two_vectors_keep_the_row_and_column_sums_of_every_matrix():
    generator = torch.Generator().manual_seed(0)
    found = [
        {"w": torch.rand(4, 3, generator=generator), "b": torch.rand(4, generator=generator)}
        for _ in range(2)
    ]
    whole = rebuilt(summed(summed({}, found[0]), found[1]))
    short = rebuilt(stacked(stacked({}, found[0]), found[1]))
    torch.testing.assert_close(short["b"], whole["b"])
    for dim in (0, 1):
        torch.testing.assert_close(short["w"].sum(dim=dim), whole["w"].sum(dim=dim))
    rank_one = torch.outer(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.0, 1.0]))
    torch.testing.assert_close(rebuilt(stacked({}, {"w": rank_one}))["w"], rank_one)


# The model


def test_adapters_do_what_they_say():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(50, 8)) @ rng.normal(size=(8, 8)) * 3 + 5).astype(np.float32)
    turned, plain = (
        make_adapter(x, 12, (10, 6), kind=kind, gate=0.5, seed=0) for kind in ("rotate", "pca")
    )
    a, b = (made(torch.tensor(x)).numpy() for made in (turned, plain))
    for out in (a, b):
        assert np.linalg.norm(out, axis=1).mean() == pytest.approx(np.sqrt(12), rel=1e-4)
    assert not b[:, 8:].any() and (np.diff(b[:, :8].var(axis=0)) < 1e-4).all()
    np.testing.assert_allclose(a @ a.T, b @ b.T, atol=1e-3)  # a rotation keeps all products
    assert turned.gate[:10].sum() == 5 and turned.gate[10:].sum() == 3
    jl = make_adapter(x, 12, (10,), kind="jl", gate=0.0, seed=0)
    assert jl(torch.tensor(x)).shape == (50, 12) and bool((jl.gate == 1).all())


def test_closed_units_neither_answer_nor_learn():
    trunk = UnifiedTrunk(4, [6], 3)
    gate = torch.tensor([[1.0, 0, 1, 0, 0, 1]])
    x = torch.randn(5, 4)
    before = trunk(x, gate)
    before.sum().backward()
    assert not trunk.hidden[0].weight.grad[[1, 3, 4]].any()
    assert not trunk.output.weight.grad[:, [1, 3, 4]].any()
    with torch.no_grad():
        trunk.hidden[0].weight[[1, 3, 4]] += 1
    torch.testing.assert_close(trunk(x, gate), before)


def test_the_network_does_not_grow_and_the_memory_stays_within_its_size(three):
    model = cs.Sequential(**SMALL, strategy="distill").fit(three.select(["image"]))
    learned = model.parameter_counts()["learned"]
    for name in ("text", "audio"):
        add(model, three, name)
        assert model.parameter_counts()["learned"] == learned
        assert len(model.memory_) == 18
    _, counts = np.unique(
        np.stack([model.memory_.modality, model.memory_.cell], axis=1), axis=0, return_counts=True
    )
    assert counts.tolist() == [2] * 9
    assert model.memory_bytes >= model.memory_.n_bytes > 0


@pytest.fixture(scope="module")
def scored() -> dict[str, Course]:
    """Four strategies in a network that does nothing to keep modalities apart, and the default."""
    dims = {"a": 10, "b": 8, "c": 6}
    data = make_dataset(n_items=240, n_classes=4, dims=dims, noise=0.6, seed=0)
    scale = Scale(rows=160, test_rows=72, memory=48, steps=60)
    small = {"dim": 16, "width": 16, "hidden": (32, 32), "steps": 60, "memory": 48}
    found = {}
    for who, changes in {
        "finetune": {"strategy": "finetune", "gate": 0.0, "adapter": "pca"},
        "replay": {"strategy": "replay", "gate": 0.0, "adapter": "pca"},
        "joint": {"strategy": "joint", "gate": 0.0, "adapter": "pca"},
        "default": {},
    }.items():
        trial = Trial("drawn", "joint" if who == "joint" else "hold", tuple("abc"), 0, scale)
        model = cs.Sequential(**{**small, **changes})
        cell = run_trial(trial, data["train"], data["test"], model)
        found[who] = Course.from_dict(cell)
    return found


def test_the_default_remembers_no_row_and_little_else(three):
    model = cs.Sequential(**SMALL).fit(three)
    assert not len(model.memory_)
    vectors = (24 + 12) + (16 + 24) + (16 + 16)  # one a side of each weight matrix
    assert model.memory_bytes == 4 * (3 * vectors + 24 + 16 + 16)


def test_what_is_done_against_forgetting_shows(scored):
    assert scored["finetune"].forgetting > 0.1 and scored["finetune"].backward_within < -0.1
    for who in ("replay", "default"):
        assert scored[who].final > scored["finetune"].final + 0.1
        assert scored[who].forgetting < scored["finetune"].forgetting - 0.1
    assert scored["joint"].final > scored["replay"].final - 0.05


def test_joint_training_needs_everything_at_once(three):
    model = cs.Sequential(**SMALL, strategy="joint").fit(three.select(["image", "text"]))
    assert model.evaluations_["image"] == model.evaluations_["text"]
    with pytest.raises(UnsupportedError, match="needs all modalities at once"):
        add(model, three, "audio")


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("finetune", "replay"),
        ("hold", "distill"),
        ("replay", "hold"),
        ("hold", "ewc"),
        ("ewc", "hold"),
    ],
)
def test_a_strategy_that_needs_what_was_not_kept_is_refused(first, then, three):
    model = cs.Sequential(**SMALL, strategy=first).fit(three.select(["image"]))
    before = copy.deepcopy(model)
    model.strategy = then
    with pytest.raises(InputError, match=f"strategy: '{then}' goes on from"):
        add(model, three, "text")
    assert same(model, before)
    model.strategy = "sgd"
    with pytest.raises(InputError, match="strategy: expected one of"):
        add(model, three, "text")


def test_classes_that_come_later_are_the_same_only_where_they_were_known(three):
    """What `fit` promises holds for one list of classes, which a space may hold beforehand."""
    y = three.labels("image").codes % 2
    late = Dataset.from_arrays({"image": three.x("image")}, y, classes=three.classes[:2])
    space = cs.Space.create(16, three.classes)
    ahead = cs.Sequential(**SMALL, space=space).fit(late)
    at_once = cs.Sequential(**SMALL).fit(late.with_classes(three.classes))
    assert same(ahead, at_once)
    assert not same(cs.Sequential(**SMALL).fit(late), at_once)


def test_modalities_of_one_class_and_of_several_live_in_one_model(three):
    y = three.labels("text").dense()
    y[::3, 0] = 1
    model = cs.Sequential(**SMALL).fit(three.select(["image"]))
    model.fit_modality("text", three.x("text"), y)
    assert [info["several"] for info in model.infos_.values()] == [False, True]
    for name in ("image", "text"):
        assert np.isfinite(model.transform(name, three.x(name))).all()


def test_older_modalities_have_no_share_in_classes_that_came_later(three):
    model = cs.Sequential(**SMALL).fit(three.select(["image"]))
    names = np.array(three.classes)[three.labels("text").codes].astype(object)
    names[:20] = "bark"
    model.fit_modality("text", three.x("text"), names)
    assert model.space_.classes[-1] == "bark"
    share = {
        name: model.transform(name, three.x(name)) @ model.space_.P for name in model.modalities
    }
    assert np.abs(share["image"][:, -1]).max() < 1e-6 < share["text"][:20, -1].min()
    np.testing.assert_allclose(share["image"].sum(axis=1), 1, atol=1e-5)


WRONG = {
    "strategy": ("sgd", "strategy: expected one of"),
    "space": ("emoji", "space: expected a Space or None, got str"),
    "gate": (1.0, "gate"),
    "adapter": ("linear", "adapter"),
    "hidden": ((), "hidden: expected one width at least"),
    "recall": (9, "recall"),
    "second_order": ("False", "second_order: expected True or False"),
    "learn_rates": (None, "learn_rates: expected True or False"),
    "memory": (0, "memory"),
    "steps": (0, "steps"),
    "inner_rate": (-1.0, "inner_rate"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_named(name, three):
    value, message = WRONG[name]
    with pytest.raises(InputError, match=message):
        cs.Sequential(**{**SMALL, name: value}).fit(three)
