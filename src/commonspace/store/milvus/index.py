"""Which of Milvus's indexes a wish means."""

from __future__ import annotations

from commonspace.checks import check_range
from commonspace.errors import InputError, UnsupportedError
from commonspace.store.wish import IndexWish
from commonspace.types import JsonDict

# Options of ours by what Milvus calls them, and what they are if not given.
_BUILD = {
    "auto": ("AUTOINDEX", {}),
    "exact": ("FLAT", {}),
    "ivf": ("IVF_FLAT", {"n_lists": ("nlist", 1024)}),
    "hnsw": ("HNSW", {"links": ("M", 16), "effort_build": ("efConstruction", 80)}),
    "codes": ("IVF_PQ", {"n_lists": ("nlist", 1024)}),
    "codes4": ("IVF_PQ", {"n_lists": ("nlist", 1024)}),
}
_EFFORT = {"ivf": "nprobe", "hnsw": "ef", "codes": "nprobe", "codes4": "nprobe"}
_BITS = 64
_PER_WORD = {"codes": 8, "codes4": 4}


def build_parameters(wish: IndexWish, dim: int, *, lite: bool) -> tuple[str, JsonDict]:
    """The name and the settings of the index that Milvus is to make.

    Raises:
        UnsupportedError: It has none like it.
        InputError: The kind does not have such options.
    """
    _check(wish, lite)
    name, known = _BUILD[wish.kind]
    left = dict(wish.options)
    settings = {theirs: left.pop(ours, usual) for ours, (theirs, usual) in known.items()}
    if wish.kind in _PER_WORD:
        settings |= _words(left.pop("bits", None) or _BITS, _PER_WORD[wish.kind], dim)
    if wish.kind in _EFFORT:
        effort = left.pop("effort", None)
        if effort is not None:
            check_range("effort", effort, low=1, integer=True)
    if left:
        options = [
            *known,
            *["bits"] * (wish.kind in _PER_WORD),
            *["effort"] * (wish.kind in _EFFORT),
        ]
        raise InputError(
            f"index {wish.kind!r} in Milvus: no option {next(iter(left))!r}; there is "
            f"{', '.join(options) or 'none'}."
        )
    for theirs, value in settings.items():
        check_range(theirs, value, low=1, integer=True)
    return name, settings


def search_parameters(wish: IndexWish, k: int) -> JsonDict:
    """How far a search looks; empty leaves it to Milvus."""
    effort, name = wish.options.get("effort"), _EFFORT.get(wish.kind)
    if effort is None or name is None:
        return {}
    return {"params": {name: max(effort, k) if name == "ef" else effort}}


def _words(bits: int, per_word: int, dim: int) -> JsonDict:
    """Of a product quantizer."""
    check_range("bits", bits, low=per_word, integer=True)
    if bits % per_word or dim % (bits // per_word):
        raise InputError(
            f"bits: Milvus cuts {dim} dimensions into words of {per_word} bits, whose number has "
            f"to divide {dim}; got {bits}."
        )
    return {"m": bits // per_word, "nbits": per_word}


def _check(wish: IndexWish, lite: bool) -> None:
    if wish.kind not in _BUILD:
        raise UnsupportedError(
            f"index: Milvus has no {wish.kind!r}; here are {', '.join(map(repr, _BUILD))}."
        )
    if wish.kind in _PER_WORD and lite:
        raise UnsupportedError(
            f"index {wish.kind!r}: Milvus Lite has no IVF_PQ. Take a server, or "
            "'exact', 'ivf' or 'hnsw'."
        )
    if wish.quantizer is not None:
        raise UnsupportedError(
            "quantizer: Milvus learns its own codes (IVF_PQ) and takes none of ours."
        )
    for name, value in (("memory", wish.memory), ("recall", wish.recall)):
        if value is not None:
            raise UnsupportedError(
                f"{name}: Milvus tunes nothing to it. Name a kind and its options, such as "
                "index='hnsw', effort=128."
            )
