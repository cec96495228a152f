-- Return the rows of a snapshot that are nearest to one of them, by BigQuery's VECTOR_SEARCH. Brute force is used, so
-- that the distances of all rows are compared: an index finds most of the nearest only. Zero vectors are left out,
-- since they have no cosine.
SELECT
  base.event_id,
  base.label,
  base.label_value,
  base.split,
  1 - distance AS cosine
FROM VECTOR_SEARCH(
  (
    SELECT event_id, label, label_value, split, embedding
    FROM `{{ snapshot }}`
    WHERE
      event_id != @event_id
      AND split IN UNNEST(@splits)
      AND EXISTS (SELECT 1 FROM UNNEST(embedding) AS component WHERE component != 0)
  ),
  'embedding',
  (
    SELECT row.embedding
    FROM `{{ snapshot }}` AS row
    WHERE row.event_id = @event_id AND EXISTS (SELECT 1 FROM UNNEST(row.embedding) AS component WHERE component != 0)
  ),
  query_column_to_search => 'embedding',
  top_k => @top,
  distance_type => 'COSINE',
  options => '{"use_brute_force": true}'
)
ORDER BY cosine DESC, event_id ASC
