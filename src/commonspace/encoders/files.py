"""Many raw items through an encoder: in batches and processes, once only, past broken ones."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from commonspace.checks import check_one_of, check_range
from commonspace.cluster import ENGINES, Engine, check_address, connect, each_call
from commonspace.disk import sha256_bytes
from commonspace.encoders.base import Encoder, identity, kept_encoder
from commonspace.encoders.cache import FeatureCache, feature_key
from commonspace.errors import InputError, MissingExtraError, ServiceError, StorageError
from commonspace.types import AnyArray, IntArray

logger = logging.getLogger(__name__)

_NAMED = 5  # broken items that a message names
_TRIES = 1  # how often a cluster reads again what ended a worker


@dataclass(frozen=True)
class Broken:
    """An item that could not be encoded.

    Attributes:
        item: Its path, or the beginning of the text.
        reason: What is wrong with it.
    """

    item: str
    reason: str


@dataclass(frozen=True)
class EncodeRun:
    """How items are encoded. None of it changes what comes out.

    Attributes:
        cache: Folder of features computed before (see `FeatureCache`); None computes all.
        jobs: Processes.
        batch: Items given to an encoder, and written to the cache, at once.
        on_error: "raise" stops at the first broken item; "skip" leaves them out and goes on.
        progress: Called with the items done and their total.
        broken: Filled with the items that were left out.
        engine: Where: in processes of this machine ("local"), or on a Ray cluster ("ray"), a task
            a batch, as many at once as it has processors. Its nodes have to see the files.
        address: Of the cluster, see `cluster.connect`.
    """

    cache: str | Path | None = None
    jobs: int = 1
    batch: int = 64
    on_error: Literal["raise", "skip"] = "raise"
    progress: Callable[[int, int], None] | None = None
    broken: list[Broken] = field(default_factory=list, compare=False)
    engine: Engine = "local"
    address: str | None = None

    def __post_init__(self) -> None:
        check_one_of("engine", self.engine, ENGINES)
        check_address(self.engine, self.address)
        check_range("jobs", self.jobs, low=1, integer=True)
        check_range("batch", self.batch, low=1, integer=True)
        check_one_of("on_error", self.on_error, ("raise", "skip"))


@dataclass(frozen=True, eq=False)
class Encoded:
    """Features of the items that could be encoded.

    Attributes:
        x: Shape (n, dim).
        rows: Which items they are, ascending, shape (n,).
        broken: The others.
        cached: How many came from the cache.
    """

    x: AnyArray
    rows: IntArray
    broken: tuple[Broken, ...]
    cached: int


@dataclass(frozen=True)
class _Result:
    """What became of the items of a batch: features or a reason each."""

    keys: tuple[bytes, ...]
    features: tuple[AnyArray | str, ...]


def encode_items(encoder: Encoder, items: Sequence[Any], run: EncodeRun | None = None) -> Encoded:
    """Encode items, files among them only once for each content and encoder.

    A run that was cut off is continued by the next one with the same cache, at the batch it had
    reached. Files with the same content are encoded once. Texts go to the cache only if the encoder
    says that it is slow (an attribute ``slow`` that is true).

    Args:
        encoder: What reads the items.
        items: As it takes them.
        run: Cache, processes, what to do about broken items.

    Raises:
        InputError: An item is broken and ``on_error`` is "raise", or all of them are.
        MissingExtraError: A package that the encoder needs is not installed.
        StorageError: The cache cannot be used.
    """
    run = run or EncodeRun()
    with ExitStack() as stack:
        cache = stack.enter_context(FeatureCache(run.cache)) if run.cache is not None else None
        work = _Work(encoder, items, run, cache)
        work.look_up()
        work.compute()
    return work.finish()


class _Work:
    """One call of `encode_items`."""

    def __init__(
        self, encoder: Encoder, items: Sequence[Any], run: EncodeRun, cache: FeatureCache | None
    ) -> None:
        self.encoder, self.items, self.run, self.cache = encoder, items, run, cache
        self.keys: list[bytes] = []
        self.item_of: dict[bytes, Any] = {}
        self.found: dict[bytes, AnyArray] = {}
        self.reasons: dict[bytes, str] = {}
        self.lasting: set[bytes] = set()
        self.cached = 0

    def look_up(self) -> None:
        """Give every item a key and look for what the cache has."""
        for row, item in enumerate(self.items):
            self.keys.append(self._key(row, item))
            self.item_of.setdefault(self.keys[-1], item)
        if self.cache is not None:
            self.found = self.cache.get(sorted(self.lasting))
            self.cached = sum(key in self.found for key in self.keys)

    def _key(self, row: int, item: Any) -> bytes:
        """Content and encoder where that can be known without encoding, else the row."""
        if self.cache is not None and isinstance(item, str | Path):
            key = self._lasting_key(item, self.cache)
            if key is not None:
                self.lasting.add(key)
                return key
        return row.to_bytes(8, "big")

    def _lasting_key(self, item: str | Path, cache: FeatureCache) -> bytes | None:
        if self.encoder.modality_kind == "text":
            digest = sha256_bytes(str(item).encode(errors="replace"))
            slow = getattr(self.encoder, "slow", False)
            return feature_key(self.encoder.id, "", digest) if slow else None
        path = Path(item)
        try:
            return feature_key(self.encoder.id, path.suffix, cache.digest(path))
        except (FileNotFoundError, IsADirectoryError, PermissionError):
            return None  # the encoder says what is wrong with it

    def compute(self) -> None:
        """Encode what is missing and keep it, batch by batch."""
        wanted = [key for key in self.item_of if key not in self.found]
        done, total = len(self.item_of) - len(wanted), len(self.item_of)
        self._tell(done, total)
        for result in _results(
            self.encoder, [(key, self.item_of[key]) for key in wanted], self.run
        ):
            self._take(result)
            done += len(result.keys)
            self._tell(done, total)

    def _tell(self, done: int, total: int) -> None:
        if self.run.progress is not None:
            self.run.progress(done, total)

    def _take(self, result: _Result) -> None:
        fresh: dict[bytes, AnyArray] = {}
        for key, value in zip(result.keys, result.features, strict=True):
            if isinstance(value, str):
                self.reasons[key] = value
            else:
                fresh[key] = value
        self.found |= fresh
        if self.cache is not None:
            self.cache.put({key: x for key, x in fresh.items() if key in self.lasting})
        if self.reasons and self.run.on_error == "raise":
            raise InputError(next(iter(self.reasons.values())))

    def finish(self) -> Encoded:
        """Put features in the order of the items."""
        rows = [row for row, key in enumerate(self.keys) if key in self.found]
        broken = tuple(
            Broken(_shown(self.items[row]), self.reasons[key])
            for row, key in enumerate(self.keys)
            if key in self.reasons
        )
        if broken and not rows:
            raise InputError(f"none of {len(broken)} items could be read. {broken[0].reason}")
        self.run.broken.extend(broken)
        _warn(broken, len(self.items))
        parts = [self.found[self.keys[row]] for row in rows]
        x = np.stack(parts) if parts else self.encoder.encode([])
        return Encoded(x, np.array(rows, np.int64), broken, self.cached)


def _results(
    encoder: Encoder, wanted: Sequence[tuple[bytes, Any]], run: EncodeRun
) -> Iterator[_Result]:
    """Yield the batches as they are done, in any order."""
    batches = [wanted[start : start + run.batch] for start in range(0, len(wanted), run.batch)]
    here = run.jobs == 1 and run.engine == "local"
    if here or len(batches) < 2:
        yield from (_encode_batch(encoder, batch) for batch in batches)
        return
    spec = json.dumps(identity(encoder))
    if run.engine == "ray":
        connect(run.address)
        yield from _on_ray(spec, batches, files=encoder.modality_kind != "text")
        return
    done: set[bytes] = set()
    try:
        for result in _in_processes(spec, batches, run.jobs):
            done.update(result.keys)
            yield result
    except _died():
        # Some item ends the process that reads it. Each of the rest gets one of its own.
        yield from _one_by_one(spec, [pair for pair in wanted if pair[0] not in done])


def _in_processes(
    spec: str, batches: Sequence[Sequence[tuple[bytes, Any]]], jobs: int
) -> Iterator[_Result]:
    from joblib import Parallel, delayed

    pool = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    yield from pool(delayed(_encode_elsewhere)(spec, batch) for batch in batches)


def _one_by_one(spec: str, wanted: Sequence[tuple[bytes, Any]]) -> Iterator[_Result]:
    for key, item in wanted:
        try:
            # Two, for with one process joblib works in this one.
            yield from _in_processes(spec, [[(key, item)]], jobs=2)
        except _died():
            yield _ended(key, item)


def _ended(key: bytes, item: Any) -> _Result:
    return _Result((key,), (f"{_shown(item)}: the process that read it was ended.",))


def _on_ray(
    spec: str, batches: Sequence[Sequence[tuple[bytes, Any]]], *, files: bool
) -> Iterator[_Result]:
    """Batches as on this machine, so that features are the same to the bit."""
    lost: list[tuple[bytes, Any]] = []

    def alone(number: int) -> _Result:
        lost.extend(batches[number])
        return _Result((), ())

    def broken(number: int) -> _Result:
        return _ended(*lost[number])

    calls = _calls(spec, batches, files)
    for _, result in each_call(_encode_on_node, calls, retries=_TRIES, when_lost=alone):
        yield result
    # Some of these items end the worker that reads them.
    calls = _calls(spec, [[pair] for pair in lost], files)
    for _, result in each_call(_encode_on_node, calls, retries=_TRIES, when_lost=broken):
        yield result


def _calls(
    spec: str, batches: Iterable[Sequence[tuple[bytes, Any]]], files: bool
) -> Iterator[dict[str, Any]]:
    """What each call of `_encode_on_node` is given: whole paths, for workers stand elsewhere."""
    for batch in batches:
        whole = [
            (key, str(Path(item).absolute()) if files and isinstance(item, str | Path) else item)
            for key, item in batch
        ]
        paths = [item for _, item in whole if isinstance(item, str)] if files else []
        present = [path for path in paths if os.path.exists(path)]  # also of what can be no path
        yield {"spec": spec, "batch": whole, "present": present}


def _encode_on_node(
    spec: str, batch: Sequence[tuple[bytes, Any]], present: Sequence[str]
) -> _Result:
    """In a worker of a cluster, which has to see the files that the asking process sees."""
    for path in present:
        if not Path(path).exists():
            raise ServiceError(
                f"node {socket.gethostname()} of the Ray cluster does not see {path}, which is "
                "there on this machine. Put the files where every node finds them under the same "
                "path, such as a shared file system."
            )
    return _encode_elsewhere(spec, batch)


def _died() -> type[Exception]:
    from joblib.externals.loky.process_executor import BrokenProcessPool

    dead: type[Exception] = BrokenProcessPool
    return dead


def _encode_elsewhere(spec: str, batch: Sequence[tuple[bytes, Any]]) -> _Result:
    """In a process of its own, where the encoder is made once."""
    return _encode_batch(kept_encoder(json.loads(spec)), batch)


def _encode_batch(encoder: Encoder, batch: Sequence[tuple[bytes, Any]]) -> _Result:
    keys, items = tuple(key for key, _ in batch), [item for _, item in batch]
    try:
        features: Sequence[AnyArray | str] = list(_checked(encoder, items))
    except (MissingExtraError, StorageError):
        raise
    except Exception:  # an item is broken: which one is found by reading each alone
        features = [_encode_one(encoder, item) for item in items]
    return _Result(keys, tuple(features))


def _encode_one(encoder: Encoder, item: Any) -> AnyArray | str:
    try:
        features: AnyArray = _checked(encoder, [item])[0]
        return features
    except (MissingExtraError, StorageError):
        raise
    except InputError as error:
        return str(error)
    except Exception as error:  # of somebody else's encoder, or no memory
        return f"{_shown(item)}: {type(error).__name__}: {error}"


def _checked(encoder: Encoder, items: list[Any]) -> AnyArray:
    x = np.asarray(encoder.encode(items))
    if x.shape != (len(items), encoder.dim) or x.dtype not in (np.float32, np.uint8):
        raise InputError(
            f"encoder {encoder.id}: expected float32 of shape ({len(items)}, {encoder.dim}), got "
            f"{x.dtype} of shape {x.shape}."
        )
    if not np.isfinite(x).all():
        raise InputError(f"{_shown(items[0])}: its features are not finite numbers.")
    return x


def _warn(broken: Sequence[Broken], total: int) -> None:
    if broken:
        reasons = "; ".join(part.reason for part in broken[:_NAMED])
        more = f"; and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        logger.warning("%d of %d items left out: %s%s", len(broken), total, reasons, more)


def _shown(item: Any) -> str:
    text = str(item) if isinstance(item, str | Path) else type(item).__name__
    return text if len(text) <= 200 else f"{text[:197]}..."
