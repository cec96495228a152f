"""Near duplicates across splits: the parameters of the search for them, and its recall by formula and by sample."""

import math
from typing import Any, NamedTuple

from scipy.stats import beta, binom

from rawless.datasets import snapshot_tables
from rawless.datasets.snapshots import Manifest
from rawless.errors import UserError
from rawless.warehouse.client import Warehouse
from rawless.warehouse.parameters import parameters
from rawless.warehouse.tables import FOLDER

RECALL = 0.95
"""The expected share of near duplicates that meet in a bucket, with as many bands as that takes."""
MAX_BANDS = 64
"""Bands at most, by which the work for a row is limited; a search that would need more has a lower recall."""
SKETCH_BITS = 62
"""Hyperplanes by which candidates are compared before their vectors are: as many as a positive INT64 has bits for."""
BUCKET_LIMIT = 256
"""Different vectors of train with which a row is compared in one bucket."""
LARGEST_MEAN = 64
"""Rows of train that a bucket has at most on average, if vectors are in all directions alike."""
_CONFIDENCE = 0.95
_RECALL_QUERY = FOLDER / "snapshot_v1" / "near_duplicate_recall.sql"


class Hashing(NamedTuple):
    """What a search chooses by the number and the spread of the vectors of train."""

    bits: int
    """Hyperplanes of a band, which divide the vectors into 2 to the power of `bits` buckets."""
    bands: int
    most_flips: int
    """Hyperplanes of the sketch that may separate two vectors that are compared."""


def search_values(cosine: float, train_rows: int) -> dict[str, Any]:
    """Return the query parameters of `near_duplicates.sql` by name."""
    least_bits, most_bits = _bits(train_rows)
    values = {"cosine": cosine, "least_bits": least_bits, "most_bits": most_bits, "recall": RECALL}
    return {**values, "max_bands": MAX_BANDS, "sketch_bits": SKETCH_BITS, "bucket_limit": BUCKET_LIMIT}


def hashing(cosine: float, train_rows: int, spread: float = 1.0) -> Hashing:
    """Return what `near_duplicates.sql` chooses.

    A band finds a pair with the probability s^bits, where s is the share of hyperplanes that do not separate it, so
    `bands` bands find it with 1 - (1 - s^bits)^bands (Charikar, 2002). `bits` is about the binary logarithm of the rows
    of train, or less where MAX_BANDS bands would find less than RECALL; `bands` is as many as find RECALL.
    """
    apart = _apart(cosine, spread)
    least_bits, most_bits = _bits(train_rows)
    needed = 1 - (1 - RECALL) ** (1 / MAX_BANDS)
    bits = min(most_bits, max(least_bits, math.floor(math.log(needed) / math.log1p(-apart))))
    bands = min(MAX_BANDS, math.ceil(math.log(1 - RECALL) / math.log1p(-((1 - apart) ** bits))))
    most_flips = math.ceil(SKETCH_BITS * apart + 4 * math.sqrt(SKETCH_BITS * apart * (1 - apart)))
    return Hashing(bits, bands, most_flips)


def expected_recall(cosine: float, train_rows: int, spread: float = 1.0) -> float:
    """Return the expected share of pairs with that cosine that are found, where no bucket is capped.

    `spread` is the mean square distance of the unit vectors of train from their mean, which the search computes: 1 for
    vectors in all directions alike, less for an encoder whose vectors are concentrated around one.
    """
    bits, bands, most_flips = hashing(cosine, train_rows, spread)
    apart = _apart(cosine, spread)
    return float((1 - (1 - (1 - apart) ** bits) ** bands) * binom.cdf(most_flips, SKETCH_BITS, apart))


def _apart(cosine: float, spread: float) -> float:
    """Return the share of hyperplanes through the mean that separate a pair at the distance `spread` from it."""
    return math.acos(max(0.0, 1 - (1 - cosine) / spread)) / math.pi


def _bits(train_rows: int) -> tuple[int, int]:
    """Return the least and most hyperplanes of a band: for buckets of LARGEST_MEAN and of 1 row of train on average."""
    most = round(math.log2(max(2, train_rows)))
    return max(1, most - round(math.log2(LARGEST_MEAN))), most


class SampledRecall(NamedTuple):
    """The recall of a build's search, as the rows that it left tell."""

    sampled: int
    """Rows of validation and test that were compared with all of train."""
    missed: int
    """Those of them that have a near neighbour there."""
    recall: float | None
    """The share of near duplicates that were removed; None if none was removed and none is known to be missed."""
    at_least: float
    """The lower end of its one-sided 95% confidence interval."""

    def describe(self) -> str:
        """Return a sentence about the recall."""
        found = "" if self.recall is None else f" the search found an estimated {self.recall:.1%} of them (at least"
        found += "" if self.recall is None else f" {self.at_least:.1%} at a confidence of 95%);"
        return (
            f"Near duplicates:{found} {self.missed:,} of {self.sampled:,} rows of validation and test that were "
            "compared with all of train have one there."
        )


def recall_of_snapshot(warehouse: Warehouse, manifest: Manifest) -> SampledRecall:
    """Return the recall of the search for near duplicates of a snapshot. Raises UserError if it did not drop them."""
    dropped = manifest.spec.get("spec", {}).get("split", {}).get("near_duplicates")
    if not dropped:
        raise UserError(f"The snapshot {manifest.snapshot_id} does not drop near duplicates: set near_duplicates.")
    return sample_recall(warehouse, manifest.snapshot_id, dropped["cosine"], manifest.ledger[-1].removed)


def sample_recall(warehouse: Warehouse, snapshot_id: str, cosine: float, removed: int) -> SampledRecall:
    """Compare at most 200 rows of validation and test of a snapshot with all of train, which reads its vectors.

    `removed` is the number of near duplicates that its build removed.
    """
    table = snapshot_tables.table_id(warehouse, snapshot_id)
    (counts,) = warehouse.query(warehouse.render(_RECALL_QUERY, snapshot=table), parameters({"cosine": cosine}))
    return estimate_recall(removed, **counts)


def estimate_recall(removed: int, sampled: int, missed: int, remaining: int) -> SampledRecall:
    """Return the recall of a search that removed some rows and left `remaining`, of which a sample tells the missed."""

    def recall(missed_share: float) -> float:
        found_and_missed = removed + missed_share * remaining
        return removed / found_and_missed if found_and_missed else 0.0

    share = missed / sampled if sampled else 0.0
    # Clopper and Pearson's bound; exact if there is no row beyond the sample.
    highest = (
        share
        if sampled == remaining or missed == sampled
        else float(beta.ppf(_CONFIDENCE, missed + 1, sampled - missed))
    )
    known = removed + missed > 0
    return SampledRecall(sampled, missed, recall(share) if known else None, recall(highest))
