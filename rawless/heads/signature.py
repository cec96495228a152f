"""The names of the inputs and outputs of heads, and what they mean to callers."""

from enum import Enum

BATCH = "batch"
"""The name of the first dimension of every input and output: any number of rows."""
TENANT = "tenant"
FEATURES = "features"
"""The input with a column for each feature: a number, or the index of a class; NaN if it is missing."""
PROBABILITIES, VALUE, SCORE, EMBEDDING = "probabilities", "value", "score", "embedding"
DISTANCE = "distance"
"""The output of the graph of a domain."""


class Interface(Enum):
    """The input names of a head's graph."""

    ITEM = ("embedding",)
    ITEM_WITH_FEATURES = ("embedding", FEATURES)
    PAIR = ("left", "right")
    QUERY = ("query",)
    QUERY_OF_TENANT = ("query", TENANT)

    @property
    def is_of_pairs(self) -> bool:
        """Whether the head relates two vectors, and so can score a query against the vectors of an index."""
        return self not in (Interface.ITEM, Interface.ITEM_WITH_FEATURES)

    @property
    def maps_queries(self) -> bool:
        """Whether the head maps a query's vector to one that is compared with documents by cosine."""
        return self in (Interface.QUERY, Interface.QUERY_OF_TENANT)
