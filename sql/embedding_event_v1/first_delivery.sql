{%- from 'embedding_event_v1/delivery_hash.sql' import of_delivery -%}
{%- from 'templates/canonical.sql' import of_vector -%}
{%- set columns = ['stream', 'event_id', 'subject_key', 'subject_key_id', 'occurred_at', 'logged_at', 'origin']
  + ['caller_key', 'modality', 'encoder', 'encoder_version', 'encoder_fingerprint'] + (['embedding'] if vectors else [])
  + ['truncated', 'attributes', 'superseded_at'] + ([] if vectors else ['row_hash', 'is_tied']) %}
{#- The including template sets `start_at`, `end_at`, `stream` (none for all), and whether to return `vectors`. -#}
-- Return each (stream, event_id, encoder_fingerprint, origin) once, for events that occurred in [start_at, end_at).
-- Without vectors the same deliveries are returned, with the hash by which equal times are ranked, but the column of
-- vectors, which costs most, is not read.
WITH {% include 'tombstone_v1/erased.sql' %},
delivery AS (
  SELECT
    event.stream,
    event.event_id,
    event.subject_key,
    event.subject_key_id,
    event.occurred_at,
    event.logged_at,
    event.origin,
    event.caller_key,
    event.modality,
    event.encoder,
    event.encoder_version,
    event.encoder_fingerprint,
    {%- if vectors %}
    event.embedding,
    {%- endif %}
    event.truncated,
    event.attributes,
    {{ of_delivery('event') | indent(4) }} AS row_hash,
    {%- if not vectors %}
    -- Whoever joins a delivery by event and time of logging finds several.
    COUNT(*) OVER (
      PARTITION BY event.stream, event.event_id, event.encoder, event.encoder_version, event.logged_at
    )
    > 1 AS is_tied,
    {%- endif %}
    -- Whoever calls a service chooses the event's id, so what the service logged counts only until the producer's own
    -- delivery is known. One that was erased counts too: else its erasure would make the served row valid again.
    IF(
      event.origin = 'serving',
      MIN(IF(event.origin = 'ingest', event.logged_at, NULL)) OVER (PARTITION BY event.stream, event.event_id),
      NULL
    ) AS superseded_at,
    erased_event.event_id IS NOT NULL
    OR COALESCE(LEAST(event.occurred_at, event.logged_at) <= erased.erased_before, FALSE) AS is_erased
  FROM `{{ events }}.embedding_event_v1` AS event
  LEFT JOIN erased ON event.subject_key = erased.subject_key
  LEFT JOIN erased_event ON event.stream = erased_event.stream AND event.event_id = erased_event.event_id
  WHERE
    event.occurred_at >= {{ start_at }}
    AND event.occurred_at < {{ end_at }}
    {%- if stream %}
    AND event.stream = {{ stream }}
    {%- endif %}
),
{%- if vectors %}
twinned AS (
  SELECT
    {{ columns | join(',\n    ') }},
    is_erased,
    row_hash,
    COUNT(*) OVER (PARTITION BY stream, event_id, encoder_fingerprint, origin, logged_at, row_hash) AS twins
  FROM delivery
),
{%- endif %}
ranked AS (
  SELECT
    {{ columns | join(',\n    ') }},
    ROW_NUMBER() OVER (
      PARTITION BY stream, event_id, encoder_fingerprint, origin
      ORDER BY
        logged_at,
        row_hash
        {%- if vectors %},
        -- Vectors are compared only where all else is equal, since that costs more than all the rest.
        IF(twins > 1, {{ of_vector('embedding') | indent(8) }}, ''),
        subject_key_id,
        caller_key,
        modality,
        truncated
        {%- endif %}
    ) AS delivery_number,
    FIRST_VALUE(occurred_at) OVER (
      PARTITION BY stream, event_id, origin ORDER BY logged_at, row_hash
    ) AS first_occurred_at
  FROM {{ 'twinned' if vectors else 'delivery' }}
  WHERE NOT is_erased
),
compared AS (
  SELECT
    {{ columns | join(',\n    ') }},
    delivery_number,
    -- One event was delivered with two times of occurrence. The value is the time at which this became known, so that
    -- a comparison of conflict_at with an as-of is exact. Within an origin, so that no caller of a service can mark a
    -- producer's event.
    MIN(IF(occurred_at != first_occurred_at, logged_at, NULL)) OVER (
      PARTITION BY stream, event_id, origin
    ) AS conflict_at
  FROM ranked
)
SELECT
  {{ columns | join(',\n  ') }},
  conflict_at
FROM compared
WHERE delivery_number = 1
