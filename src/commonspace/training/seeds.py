"""Every random stream is named, so that the order in which things happen changes no bit."""

from __future__ import annotations

import hashlib


def derive_seed(random_state: int, *names: object) -> int:
    """Return a 63-bit seed that depends on the random state and the names alone.

    Example:
        >>> derive_seed(0, "image", "batches") == derive_seed(0, "image", "batches")
        True
        >>> derive_seed(0, "image", "batches") == derive_seed(0, "text", "batches")
        False
    """
    text = "\0".join([str(int(random_state)), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
