"""Decoding images of unknown origin in child processes, whose faults cost one item and not this process.

A decoder in C may crash, loop or fill the memory when it is given a file that was made for it. So the files are decoded
in processes of their own, which are limited, die with this one, and inherit neither its environment, where keys are,
nor its open files. They start with the first item, stay warm, and are shared by all encoders of the process. Content
and pixels pass through a socket, and nothing is written.

- `pool`: the children of a process, and what their deaths mean.
- `images`: decoding images in the pool.

`encoders.child` is what runs in a child.
"""

from encoders.isolation.images import POOL, read_pixels
from encoders.isolation.pool import Counts

__all__ = ["Counts", "counts", "read_pixels", "take_seconds"]


def counts() -> Counts:
    """Return what the children of this process have done since it started."""
    return POOL.counts()


def take_seconds() -> list[float]:
    """Return how long each item took that was decoded since the last call, by any thread; at most the last 10,000."""
    return POOL.take_seconds()
