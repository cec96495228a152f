-- Count the rows of a snapshot that are to be erased, and return the digests over the hashes that are stored with all
-- of its rows and with those that remain, as the template `digest` computes them.
{%- from 'erasure_v1/is_erased.sql' import is_erased %}
WITH hashed AS (
  SELECT
    stored.row_hash,
    {{ is_erased(of, subject_list, event_list) | indent(4) }} AS is_erased
  FROM `{{ table }}` AS stored
),
grouped AS (
  SELECT
    SUBSTR(hashed.row_hash, 1, 4) AS prefix,
    COUNTIF(hashed.is_erased) AS erased,
    COUNTIF(NOT hashed.is_erased) AS remaining,
    TO_HEX(SHA256(STRING_AGG(hashed.row_hash, '' ORDER BY hashed.row_hash))) AS group_hash,
    TO_HEX(
      SHA256(STRING_AGG(IF(hashed.is_erased, '', hashed.row_hash), '' ORDER BY hashed.row_hash))
    ) AS remaining_hash
  FROM hashed
  GROUP BY prefix
)
SELECT
  COALESCE(SUM(grouped.erased), 0) AS row_count,
  TO_HEX(SHA256(COALESCE(STRING_AGG(grouped.group_hash, '' ORDER BY grouped.prefix), ''))) AS row_digest,
  TO_HEX(
    SHA256(
      COALESCE(STRING_AGG(IF(grouped.remaining > 0, grouped.remaining_hash, ''), '' ORDER BY grouped.prefix), '')
    )
  ) AS remaining_digest
FROM grouped
