"""MS-DMML from pictures and words: a backbone that is fine-tuned against its features as they are.

Both see the same pictures, crops and words, and share everything but what happens to the backbone.
Learning from pixels has more to win and more to lose: few pictures are learned by heart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from commonspace.checks import check_range
from commonspace.data import Dataset, Splits, load_dataset
from commonspace.encoders import BagOfWordsEncoder, EfficientNetLite0Encoder, PixelEncoder
from commonspace.evaluation import Protocol, Report, chance, evaluate
from commonspace.machine import describe_machine
from commonspace.methods import MSDMML
from commonspace.store.pipelines import encode_raw
from commonspace.types import JsonDict

IMAGE, TEXT = "image", "text"
STAGES = 18  # of EfficientNet-Lite0


def bench_pixels(
    *,
    name: str = "emoji_raw",
    side: int = 72,
    crop: int = 64,
    freeze: int = 8,
    rate: float = 4e-4,
    words: int = 1000,
    epochs: int = 10,
    seeds: int = 2,
    root: str | Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> JsonDict:
    """Compare MS-DMML on frozen features with MS-DMML that trains the backbone too.

    Args:
        name: A data set of raw pictures and texts: "emoji_raw" or "coco_raw".
        side: Pictures are scaled to so many pixels.
        crop: What is seen of them, the centre in use; frozen features are made of that centre too.
        freeze: Stages of EfficientNet-Lite0, of 18, that stay as they are.
        rate: Learning rate of the other stages.
        words: Size of the vocabulary.
        epochs: Of both.
        seeds: How many random states, from 0.
        root: Where the data sets are.
        say: Called with a line after each fit.

    Returns:
        The form of all benchmarks: rows of "method", "mean_ap", "sd", "mean_ap_within", "mean_ndcg"
        and "seconds", the last with making the features.

    Raises:
        InputError: A crop wider than the pictures, no stage left to train, or a rate of zero:
            told before anything is read or trained.
    """
    _check(side, crop, freeze, rate)
    data = load_dataset(name, root=root)
    text = BagOfWordsEncoder.fit(data["train"].x(TEXT).tolist(), size=words, weighting="rare")
    branch = {"crop": crop, "freeze": freeze, "learning_rate": rate}
    ways: dict[str, JsonDict] = {"frozen": {}, "fine-tuned": {"branches": {IMAGE: branch}}}
    protocol = Protocol(within=True, gain="overlap")
    rows = [_row("chance", [chance(data["test"], protocol=protocol, n_bootstrap=0)], [0.0])]
    for way, settings in ways.items():
        start = time.perf_counter()
        inputs = _encoded(data, {IMAGE: PixelEncoder(side=side).spec(), TEXT: text.spec()})
        if way == "frozen":
            inputs = {split: with_features(part, side, crop) for split, part in inputs.items()}
        reading = time.perf_counter() - start
        reports, seconds = [], []
        for seed in range(seeds):
            start = time.perf_counter()
            model = MSDMML(random_state=seed, epochs=epochs, **settings).fit(inputs["train"])
            seconds.append(reading + time.perf_counter() - start)
            report = evaluate(model, inputs["test"], protocol=protocol, n_bootstrap=0)
            reports.append(report)
            say(f"{way} seed {seed}: {report.mean_ap:.4f} in {seconds[-1]:.1f} s")
        rows.append(_row(way, reports, seconds))
    return {
        "bench": "pixels",
        "machine": describe_machine(),
        "rows": rows,
        "ratios": {"seconds, fine-tuned to frozen": rows[2]["seconds"] / rows[1]["seconds"]},
    }


def _check(side: int, crop: int, freeze: int, rate: float) -> None:
    check_range("side", side, low=32, high=512, integer=True)
    check_range("crop", crop, low=32, high=side, integer=True)
    check_range("freeze", freeze, low=0, high=STAGES - 1, integer=True)
    check_range("rate", rate, low=1e-12, high=10)


def with_features(data: Dataset, side: int, crop: int) -> Dataset:
    """Put frozen features in place of pixels, made of what a branch sees of them in use."""
    part, start = data[IMAGE], (side - crop) // 2
    inside = slice(start, start + crop)
    squares = part.x.reshape(-1, side, side, 3)[:, inside, inside]
    encoder = EfficientNetLite0Encoder(size=crop)
    seen = replace(part, x=encoder.encode(list(squares)), encoder=encoder.spec())
    return Dataset({**data, IMAGE: seen}, data.classes)


def _encoded(data: Splits, encoders: Mapping[str, JsonDict]) -> dict[str, Dataset]:
    return {split: encode_raw(part.select([IMAGE, TEXT]), encoders) for split, part in data.items()}


def _row(method: str, reports: Sequence[Report], seconds: Sequence[float]) -> JsonDict:
    cross = [report.mean_ap for report in reports]
    return {
        "method": method,
        "seeds": len(reports),
        "mean_ap": float(np.mean(cross)),
        "sd": float(np.std(cross, ddof=1)) if len(cross) > 1 else 0.0,
        "mean_ap_within": float(np.mean([report.mean_ap_within for report in reports])),
        "mean_ndcg": float(np.mean([report.mean_ndcg for report in reports])),
        "seconds": float(np.median(seconds)),
    }
