"""Searches that wait together are answered together.

Nothing ever waits to be batched: a search that finds the collection idle runs at once, and what
comes meanwhile is one batch when it returns. Exact search of many queries reads every row once for
all of them, and gives each the same bits as alone.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from commonspace.store.collection import Collection
from commonspace.store.hits import Hits
from commonspace.types import Float32Array


@dataclass(frozen=True)
class Limited:
    """How many hits, among which items, and by what; as `Collection.search` takes it."""

    k: int
    modality: tuple[str, ...] | None
    where: Mapping[str, Any] | None
    query_modality: str | None = None
    match: bool | None = None

    @property
    def name(self) -> str:
        """Equal for searches that can share a batch."""
        return json.dumps(vars(self), sort_keys=True)


@dataclass(frozen=True)
class _Job:
    vectors: Float32Array
    limited: Limited
    name: str
    answer: asyncio.Future[Hits]


class Batcher:
    """Collects the searches of one collection; used from one event loop.

    Args:
        collection: To search.
        threads: Where searches run.
        largest: Queries of one batch; 1 answers each request on its own.
        observe: Told the queries of each batch.
    """

    def __init__(
        self,
        collection: Collection,
        threads: Executor,
        largest: int,
        observe: Callable[[float], Any],
    ) -> None:
        self._collection, self._threads = collection, threads
        self._largest, self._observe = largest, observe
        self._waiting: list[_Job] = []
        self._task: asyncio.Task[None] | None = None

    async def search(self, vectors: Float32Array, limited: Limited) -> Hits:
        """Return the hits of checked queries, shape (n_queries, dim)."""
        loop = asyncio.get_running_loop()
        job = _Job(vectors, limited, limited.name, loop.create_future())
        self._waiting.append(job)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        return await job.answer

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            jobs = self._next()
            try:
                hits = await loop.run_in_executor(self._threads, self._together, jobs)
            except Exception as error:
                _settle(jobs, error)
            else:
                _hand_out(jobs, hits)

    def _next(self) -> list[_Job]:
        """Take the job that waits longest, and what can be answered with it."""
        first, queries = self._waiting[0], 0
        chosen: list[_Job] = []
        left: list[_Job] = []
        for job in self._waiting:
            room = not chosen or queries + len(job.vectors) <= self._largest
            if room and job.name == first.name:
                chosen.append(job)
                queries += len(job.vectors)
            else:
                left.append(job)
        self._waiting = left
        return [job for job in chosen if not job.answer.done()]  # some gave up

    def _together(self, jobs: list[_Job]) -> Hits | None:
        if not jobs:
            return None
        vectors = np.concatenate([job.vectors for job in jobs])
        self._observe(len(vectors))
        return self._collection.search(vectors, **vars(jobs[0].limited))


def _hand_out(jobs: list[_Job], hits: Hits | None) -> None:
    start = 0
    for job in jobs:
        rows = slice(start, start + len(job.vectors))
        start = rows.stop
        if hits is not None and not job.answer.done():
            parts = hits.ids[rows], hits.scores[rows], hits.modalities[rows], hits.payloads[rows]
            job.answer.set_result(Hits(*parts, hits.measure))


def _settle(jobs: list[_Job], error: Exception) -> None:
    for job in jobs:
        if not job.answer.done():
            job.answer.set_exception(error)
