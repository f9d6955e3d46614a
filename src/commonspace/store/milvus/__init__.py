"""Collections in Milvus, for when one machine is not enough.

``address`` says where; ``connection`` calls pymilvus and says in our words what it refuses;
``register`` keeps the space and what goes beside the items; ``terms`` makes of a payload what
``expressions`` can ask for; ``items`` and ``engine`` are what a `Collection` stands on.

Nothing that a user writes is ever part of an expression that Milvus parses: ids, modalities, field
names and values stand there as digests, bounds of ranges in hexadecimal.
"""

from commonspace.store.milvus.address import as_folder, is_address
from commonspace.store.milvus.engine import MilvusEngine

__all__ = ["MilvusEngine", "as_folder", "is_address"]
