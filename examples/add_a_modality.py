"""Add a modality to a trained model, years later and on items of its own; nothing else moves."""

from __future__ import annotations

from hashlib import sha256

import commonspace as cs
from commonspace.data import Dataset, make_dataset


def digest(model: cs.SDML, data: Dataset, modality: str) -> str:
    return sha256(model.transform(modality, data.x(modality)).tobytes()).hexdigest()[:16]


def main() -> None:
    # Each modality has items of its own: there is not one pair between them.
    dims = {"image": 64, "text": 32, "audio": 48}
    data = make_dataset(n_items=500, n_classes=6, dims=dims, paired=False, noise=1.2)
    train, test = data["train"], data["test"]

    model = cs.SDML.fast(dim=64, schedule="serial").fit(train.select(["image", "text"]))
    fingerprint = model.space_.fingerprint
    before = {name: digest(model, test, name) for name in ("image", "text")}

    sound = train["audio"]
    model.fit_modality("audio", sound.x, sound.labels, items=sound.items)

    after = {name: digest(model, test, name) for name in before}
    print("stored vectors stay valid:", after == before)
    print("the space is the same:", model.space_.fingerprint == fingerprint)
    report = cs.evaluate(model, test)
    for direction in (("image", "text"), ("audio", "image"), ("text", "audio")):
        print(f"{' -> '.join(direction):18}{report[direction].mean_ap:.3f}")


if __name__ == "__main__":
    main()
