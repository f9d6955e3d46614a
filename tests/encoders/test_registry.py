from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import numpy as np
import pytest

from commonspace import encoders
from commonspace.encoders import (
    HashTextEncoder,
    encoder_class,
    encoder_from_spec,
    fitted_spec,
    identity,
    kept_encoder,
    list_encoders,
    registry,
    same_encoder,
)
from commonspace.errors import InputError, NotFoundError
from commonspace.media import KIND_OF_SUFFIX


class Backwards:
    """Somebody else's encoder."""

    kind = "text-backwards"
    version = 3
    modality_kind = "text"
    dim = 1

    def __init__(self, *, step: int = 1) -> None:
        self.step = step

    @property
    def id(self) -> str:
        return f"{self.kind}:v3:step={self.step}"

    def spec(self):
        return {"kind": self.kind, "version": 3, "step": self.step}

    def encode(self, items):
        return np.array([[float(len(item[:: -self.step]))] for item in items], np.float32)


@pytest.fixture
def offered(monkeypatch):
    """Entry points as an installed package would bring them."""
    module = ModuleType("somebody_elses")
    module.Backwards = Backwards
    module.Nothing = type("Nothing", (), {})
    monkeypatch.setitem(sys.modules, "somebody_elses", module)
    points = [
        EntryPoint(name, value, registry.GROUP)
        for name, value in [
            ("text-backwards", "somebody_elses:Backwards"),
            ("text-hash", "somebody_elses:Backwards"),
            ("text-other", "somebody_elses:Backwards"),
            ("text-nothing", "somebody_elses:Nothing"),
            ("text-gone", "a_package_that_is_not_there:Encoder"),
        ]
    ]
    monkeypatch.setattr(registry, "_entries", lambda: iter(points))
    registry._foreign.cache_clear()
    yield
    registry._foreign.cache_clear()


def test_every_encoder_of_ours_is_listed_and_is_what_the_list_says():
    listed = {offer.kind: offer for offer in list_encoders()}
    ours = [getattr(encoders, name) for name in encoders.__all__ if name.endswith("Encoder")]
    kinds = {cls.kind for cls in ours if hasattr(cls, "kind")}
    assert kinds == set(registry.OURS) <= set(listed)
    for kind, offer in registry.OURS.items():
        cls = encoder_class(kind)
        assert cls.kind == kind and cls.modality_kind == offer.reads and offer.purpose
        assert (offer.extra is None) == (not offer.packages)
    for reads, kind in registry.DEFAULTS.items():
        assert registry.OURS[kind].reads == reads
    assert set(registry.DEFAULTS) == set(KIND_OF_SUFFIX.values()) - {"vector"}


def test_extras_are_those_of_the_package():
    from importlib.metadata import metadata

    extras = set(metadata("commonspace").get_all("Provides-Extra"))
    wanted = {offer.extra for offer in registry.OURS.values()} - {None}
    assert wanted <= extras | {"timm", "open-clip", "minilm"}


def test_an_encoder_of_another_package_plugs_in(offered):
    encoder = encoder_from_spec({"kind": "text-backwards", "version": 3, "step": 2})
    assert encoder.encode(["abcd"]).tolist() == [[2.0]] and isinstance(encoder, encoders.Encoder)
    assert encoder_from_spec(identity(encoder)).id == encoder.id
    assert fitted_spec({"kind": "text-backwards"}, []) == Backwards().spec()
    offers = {offer.kind: offer for offer in list_encoders()}
    assert not offers["text-gone"].available
    assert encoder_class("text-hash") is HashTextEncoder  # ours stay ours


def test_an_encoder_of_another_package_that_is_none_is_refused(offered):
    with pytest.raises(InputError, match="calls itself 'text-backwards'"):
        encoder_class("text-other")
    with pytest.raises(InputError, match="is no encoder"):
        encoder_class("text-nothing")
    with pytest.raises(InputError, match="cannot be imported"):
        encoder_class("text-gone")
    with pytest.raises(NotFoundError, match=r"Did you mean 'text-backwards'"):
        encoder_class("text-backward")


def test_a_record_must_be_of_the_same_encoder():
    record = identity(HashTextEncoder(dim=64))
    assert encoder_from_spec(record) == HashTextEncoder(dim=64)
    with pytest.raises(InputError, match=r"expected text-hash:v1:dim=64:weights=aa, as on record"):
        encoder_from_spec({**record, "id": record["id"] + ":weights=aa"})
    assert same_encoder(record, HashTextEncoder(dim=64).spec())
    assert not same_encoder(record, HashTextEncoder(dim=32).spec())
    assert not same_encoder(record, identity(HashTextEncoder(dim=32)))


def test_an_encoder_is_kept_for_the_next_query_of_equal_settings():
    spec = {"kind": "text-hash", "version": 1, "dim": 96}
    assert kept_encoder(spec) is kept_encoder(dict(reversed(spec.items())))
    assert kept_encoder(spec) is not kept_encoder({**spec, "dim": 97})
    with pytest.raises(InputError, match="as on record"):
        kept_encoder({**spec, "id": "text-hash:v1:dim=97"})
