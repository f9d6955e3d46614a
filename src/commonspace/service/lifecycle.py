"""Collections that are served: opened whole, used under a lease, swapped without a gap."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from commonspace.checks import not_found
from commonspace.errors import CommonspaceError, InputError, NotFoundError
from commonspace.service.batching import Batcher
from commonspace.service.limits import Limits
from commonspace.service.metrics import Metrics
from commonspace.store.collection import Collection

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Threads:
    """Threads of an app: searches, writes and the reading of raw queries each wait in a line."""

    def __init__(self) -> None:
        self.searching = ThreadPoolExecutor(1, "search")
        self.writing = ThreadPoolExecutor(1, "write")
        self.encoding = ThreadPoolExecutor(1, "encode")  # one picture in memory at a time

    def close(self) -> None:
        """Finish what was begun."""
        for threads in (self.encoding, self.writing, self.searching):
            threads.shutdown()


async def in_thread(threads: ThreadPoolExecutor, call: Callable[..., T], *args: Any) -> T:
    """Run a call that blocks."""
    return await asyncio.get_running_loop().run_in_executor(threads, call, *args)


class Version:
    """One opened folder with its model, and how many requests use it now."""

    def __init__(self, folder: Path, *, read_only: bool, model_folder: Path | None) -> None:
        self.folder = folder.resolve()  # what a link points to now, whatever it points to later
        self.collection = Collection.open(self.folder, read_only=read_only)
        try:
            self._identity = _identity(self.folder)
            self._model, self._lacking = _load_model(self.collection, model_folder)
            _warm(self.collection)
        except BaseException:
            self.collection.close()
            raise
        self.batcher: Batcher
        self.users = 0
        self.idle = asyncio.Event()
        self.idle.set()

    @property
    def model(self) -> Any:
        """The model behind the vectors; raises where there is none."""
        if self._model is None:
            raise self._lacking or InputError("this collection has no model.")
        return self._model

    @property
    def has_model(self) -> bool:
        """Whether raw items can be queries."""
        return self._model is not None

    def is_still(self, folder: Path) -> bool:
        """Whether the folder is the one that was opened."""
        return _identity(folder) == self._identity

    @contextmanager
    def lease(self) -> Iterator[None]:
        """Keep it open inside the block."""
        self.users += 1
        self.idle.clear()
        try:
            yield
        finally:
            self.users -= 1
            if not self.users:
                self.idle.set()


class Served:
    """A collection by name: the version that new requests get.

    Args:
        name: As requests call it.
        folder: Where it is; a symbolic link may point to another version later.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        read_only: bool,
        model_folder: Path | None,
        make_batcher: Callable[[Collection], Batcher],
    ) -> None:
        self.name, self.folder, self.read_only = name, folder, read_only
        self.number = 0
        self._model_folder, self._make_batcher = model_folder, make_batcher
        self._swapping = asyncio.Lock()
        self._version: Version | None = None

    def open(self) -> None:
        """Open the folder for the first time."""
        self._version = self._opened()
        self.number = 1

    async def reopen(self, threads: ThreadPoolExecutor) -> bool:
        """Take up the folder that is there now, if it is another; the old one ends in peace.

        Returns:
            Whether there was a new version.

        Raises:
            CommonspaceError: The new one does not open; the old one goes on.
        """
        async with self._swapping:
            old = self.version
            if old.is_still(self.folder):
                return False
            self._version = await in_thread(threads, self._opened)
            self.number += 1
            await old.idle.wait()
            await in_thread(threads, old.collection.close)
            return True

    @property
    def version(self) -> Version:
        """The version that serves now."""
        if self._version is None:
            raise NotFoundError(f"collection {self.name!r} is not open.")
        return self._version

    @contextmanager
    def lease(self) -> Iterator[Version]:
        """Use one version from the beginning of a request to its end."""
        version = self.version
        with version.lease():
            yield version

    def close(self) -> None:
        """Write the index and give the folder back."""
        if self._version is not None:
            self._version.collection.close()
            self._version = None

    def _opened(self) -> Version:
        version = Version(self.folder, read_only=self.read_only, model_folder=self._model_folder)
        version.batcher = self._make_batcher(version.collection)
        return version


class Shelf:
    """All collections of an app.

    Attributes:
        threads: Where their blocking calls run; made when they open.
        open: Whether requests are welcome.
    """

    def __init__(
        self,
        folders: Mapping[str, Path],
        *,
        read_only: bool,
        model_folder: Path | None,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self.threads: Threads
        self.open = False
        self._metrics, self._limits = metrics, limits
        self.collections = {
            name: Served(
                name,
                folder,
                read_only=read_only,
                model_folder=model_folder,
                make_batcher=self._batcher,
            )
            for name, folder in folders.items()
        }

    def __getitem__(self, name: str | None) -> Served:
        if name is None and len(self.collections) == 1:
            return next(iter(self.collections.values()))
        if name is None:
            raise InputError(f"collection: name one of {', '.join(map(repr, self.collections))}.")
        if name not in self.collections:
            raise not_found("collection", name, self.collections)
        return self.collections[name]

    async def reopen(self, name: str | None = None) -> dict[str, bool]:
        """Take up new versions of one collection, or of all; says which had one."""
        chosen = [*self.collections.values()] if name is None else [self[name]]
        done = {}
        for served in chosen:
            done[served.name] = await served.reopen(self.threads.writing)
            if done[served.name]:
                self._metrics.swaps.labels(served.name).inc()
                _log.info("%s: version %d", served.name, served.number)
        return done

    async def reopen_quietly(self) -> None:
        """Take up new versions for a signal, which nobody answers: what fails is logged."""
        try:
            await self.reopen()
        except CommonspaceError as error:
            _log.error("the version that is there stays: %s", error)

    def start(self) -> None:
        """Open everything, or nothing; the app does it when it starts, if nobody did before.

        Raises:
            CommonspaceError: A collection does not open.
        """
        if self.open:
            return
        self.threads = Threads()
        try:
            for served in self.collections.values():
                served.open()
        except BaseException:
            self.stop()
            raise
        self.open = True

    def stop(self) -> None:
        """Finish what was begun, and close everything."""
        self.open = False
        self.threads.close()
        for served in self.collections.values():
            served.close()

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """Open everything, serve, close everything."""
        await asyncio.to_thread(self.start)
        try:
            yield
        finally:
            await asyncio.to_thread(self.stop)

    def _batcher(self, collection: Collection) -> Batcher:
        observe = self._metrics.batches.observe
        return Batcher(collection, self.threads.searching, self._limits.batch, observe)


def _identity(folder: Path) -> tuple[int, int]:
    try:
        state = folder.stat()
    except OSError as error:
        raise NotFoundError(f"{folder} is not there.") from error
    return state.st_dev, state.st_ino


def _load_model(collection: Collection, folder: Path | None) -> tuple[Any, CommonspaceError | None]:
    """The model behind a collection, or why there is none: vectors can be searched without."""
    if folder is None and "model" not in collection.metadata:
        return None, InputError(
            f"collection {collection.folder.name!r} has no model on record, so it is searched by "
            "vectors, items and words alone."
        )
    from commonspace.store.pipelines import model_of

    load = partial(model_of, collection, model_folder=folder)
    if folder is not None:
        return load(), None
    try:
        return load(), None
    except CommonspaceError as error:
        _log.warning("no model for %s: %s", collection.folder, error)
        return None, InputError(
            f"the model behind collection {collection.folder.name!r} could not be loaded, so it is "
            "searched by vectors, items and words alone. The log of the service says why."
        )


def _warm(collection: Collection) -> None:
    """Load the index, so that no request waits for it."""
    if len(collection):
        collection.search(collection.space.basis[:1], 1)
