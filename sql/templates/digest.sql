-- Return the digest over the rows of a snapshot, their number, and the least and the greatest dimension. The digest is
-- a SHA-256 over the hashes of groups of rows, each over its sorted hashes of rows, so that no group is too large to be
-- sorted in one place.
{%- from 'templates/row_hash.sql' import of_row %}
WITH hashed AS (
  SELECT
    {% if hash_again %}{{ of_row('snapshot') | indent(4) }}{% else %}snapshot.row_hash{% endif %} AS row_hash,
    snapshot.dimension
  FROM `{{ snapshot }}` AS snapshot
),
grouped AS (
  SELECT
    SUBSTR(hashed.row_hash, 1, 4) AS prefix,
    TO_HEX(SHA256(STRING_AGG(hashed.row_hash, '' ORDER BY hashed.row_hash))) AS group_hash,
    COUNT(*) AS examples,
    MIN(hashed.dimension) AS least,
    MAX(hashed.dimension) AS most
  FROM hashed
  GROUP BY prefix
)
SELECT
  TO_HEX(SHA256(COALESCE(STRING_AGG(grouped.group_hash, '' ORDER BY grouped.prefix), ''))) AS row_digest,
  COALESCE(SUM(grouped.examples), 0) AS examples,
  MIN(grouped.least) AS least_dimension,
  MAX(grouped.most) AS most_dimension
FROM grouped
