"""How much one request and one caller may ask for."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, fields

from commonspace.checks import check_range


@dataclass(frozen=True)
class Limits:
    """Bounds of a service; a request beyond one is refused with the bound in the message.

    Attributes:
        body_bytes: Of a request, all uploads together.
        upload_bytes: Of one uploaded file.
        files: Uploaded files of one request.
        pixels: Of one picture, read from its header before anything is decoded.
        queries: Vectors of one search.
        hits: Of one search, over all its queries, those that paging skips included.
        items: Of one request that adds, reads or deletes.
        parts: Parts of a query, mixed into one vector.
        in_flight: Requests at once; further ones are told to come back.
        seconds: For a body to arrive, and for a search to be answered.
        rate: Requests a second of one key (or address, without keys), on average; None: no bound.
        burst: How many of them may come at once.
        batch: Queries of concurrent searches that are answered together; 1: each on its own.
    """

    body_bytes: int = 32 << 20
    upload_bytes: int = 16 << 20
    files: int = 8
    pixels: int = 25_000_000
    queries: int = 1000
    hits: int = 100_000
    items: int = 10_000
    parts: int = 32
    in_flight: int = 256
    seconds: float = 30.0
    rate: float | None = None
    burst: int = 100
    batch: int = 64

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "rate" and value is None:
                continue
            low, whole = (0.001, False) if field.name in ("rate", "seconds") else (1, True)
            check_range(f"limits: {field.name}", value, low=low, integer=whole)


class TokenBuckets:
    """One bucket of tokens a caller: ``burst`` at most, ``rate`` more a second, one a request.

    Example:
        >>> now = [0.0]
        >>> buckets = TokenBuckets(rate=2, burst=1, clock=lambda: now[0])
        >>> buckets.wait("ann"), buckets.wait("ann"), buckets.wait("bob")
        (0.0, 0.5, 0.0)
        >>> now[0] = 0.5
        >>> buckets.wait("ann")
        0.0
    """

    _CALLERS = 10_000  # of which the one that was silent longest is forgotten

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str) -> float:
        """Take a token and return 0, or the seconds until there is one."""
        now = self._clock()
        tokens, since = self._buckets.pop(caller, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - since) * self._rate)
        taken = tokens >= 1
        self._buckets[caller] = (tokens - 1 if taken else tokens, now)
        if len(self._buckets) > self._CALLERS:
            self._buckets.popitem(last=False)
        return 0.0 if taken else (1 - tokens) / self._rate
