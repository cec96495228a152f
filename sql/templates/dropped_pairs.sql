-- Return the near duplicates that a snapshot leaves out, each with its nearest row of train. Vectors are read again.
WITH {% include 'templates/selected_vectors.sql' %},
{% include 'templates/near_duplicates.sql' %},
compared AS (
  SELECT
    candidate.event_id,
    candidate.neighbour_id,
    1 - COSINE_DISTANCE(vector.embedding, neighbour.embedding) AS cosine
  FROM candidate
  INNER JOIN vector ON candidate.event_id = vector.event_id
  INNER JOIN vector AS neighbour ON candidate.neighbour_id = neighbour.event_id
),
nearest AS (
  SELECT
    event_id,
    neighbour_id,
    cosine
  FROM compared
  WHERE cosine >= @cosine
  QUALIFY ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY cosine DESC, neighbour_id ASC) = 1
)
SELECT
  nearest.event_id,
  vector.split,
  COALESCE(vector.label, CAST(vector.label_value AS STRING)) AS label,
  nearest.neighbour_id AS train_event_id,
  COALESCE(neighbour.label, CAST(neighbour.label_value AS STRING)) AS train_label,
  nearest.cosine
FROM nearest
INNER JOIN vector ON nearest.event_id = vector.event_id
INNER JOIN vector AS neighbour ON nearest.neighbour_id = neighbour.event_id
