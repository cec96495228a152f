"""The local BigQuery hashes texts as BigQuery does: splits, samples and ties of deliveries depend on it."""

from rawless.warehouse.client import Warehouse

KNOWN = {
    1: -5528939962900187677,
    64: 5893282057753879417,
    65: 7778058094944459892,
    128: -4747627967806356490,
    129: -266561011801984384,
    200: -3725412643449386719,
}
"""FARM_FINGERPRINT of the letter a, repeated, as Google's reference evaluator computes it."""


def test_texts_of_every_length_have_the_fingerprint_of_bigquery(warehouse: Warehouse) -> None:
    lengths = ", ".join(map(str, KNOWN))
    sql = f"SELECT n, FARM_FINGERPRINT(REPEAT('a', n)) AS hash FROM UNNEST([{lengths}]) AS n"

    assert {row["n"]: row["hash"] for row in warehouse.query(sql)} == KNOWN
