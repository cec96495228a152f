-- Write the adapted vectors of all deliveries that still need one, by an affine map. Each of the weights is a row of its
-- matrix as a text, since a parameter with a value for each number would be larger than a request may be.
INSERT INTO `{{ events }}.embedding_event_v1` (
  stream, event_id, subject_key, subject_key_id, occurred_at, logged_at, origin, caller_key, modality, encoder,
  encoder_version, encoder_fingerprint, embedding, truncated, attributes
)
WITH unadapted AS (
{% filter indent(2, true) %}{% include 'embedding_event_v1/unadapted.sql' %}{% endfilter %}
),
matrix AS (
  SELECT
    ARRAY_AGG(
      STRUCT(
        number_of_row AS component,
        @bias[OFFSET(number_of_row)] AS bias,
        ARRAY(
          SELECT CAST(number AS FLOAT64)
          FROM UNNEST(SPLIT(weights, ' ')) AS number WITH OFFSET AS position
          ORDER BY position
        ) AS weights
      )
      ORDER BY number_of_row
    ) AS components
  FROM UNNEST(@weights) AS weights WITH OFFSET AS number_of_row
),
mapped AS (
  SELECT
    old.event_id,
    old.subject_key,
    old.subject_key_id,
    old.occurred_at,
    old.origin,
    old.caller_key,
    old.modality,
    old.truncated,
    old.attributes,
    ARRAY(
      SELECT
        each.bias + (
          SELECT SUM(number * each.weights[OFFSET(position)])
          FROM UNNEST(old.embedding) AS number WITH OFFSET AS position
        )
      FROM UNNEST(matrix.components) AS each
      ORDER BY each.component
    ) AS embedding
  FROM unadapted
  INNER JOIN `{{ events }}.embedding_event_v1` AS old
    ON
      unadapted.event_id = old.event_id
      AND unadapted.origin = old.origin
      AND unadapted.occurred_at = old.occurred_at
      AND unadapted.logged_at = old.logged_at
  CROSS JOIN matrix
  WHERE
    old.occurred_at >= @start_at
    AND old.occurred_at < @end_at
    AND old.stream = @stream
    AND old.encoder = @source_encoder
    AND old.encoder_version = @source_version
    AND old.encoder_fingerprint = @source
),
scaled AS (
  SELECT
    mapped.event_id,
    mapped.subject_key,
    mapped.subject_key_id,
    mapped.occurred_at,
    mapped.origin,
    mapped.caller_key,
    mapped.modality,
    mapped.truncated,
    mapped.attributes,
    mapped.embedding,
    IF(
      @l2_normalise,
      GREATEST(SQRT((SELECT SUM(number * number) FROM UNNEST(mapped.embedding) AS number)), 1e-12),
      1.0
    ) AS divisor
  FROM mapped
)
SELECT
  @stream,
  scaled.event_id,
  scaled.subject_key,
  scaled.subject_key_id,
  scaled.occurred_at,
  CURRENT_TIMESTAMP(),
  scaled.origin,
  scaled.caller_key,
  scaled.modality,
  @encoder,
  @encoder_version,
  @adapted,
  ARRAY(
    SELECT number / scaled.divisor
    FROM UNNEST(scaled.embedding) AS number WITH OFFSET AS position
    ORDER BY position
  ),
  scaled.truncated,
  scaled.attributes
FROM scaled
