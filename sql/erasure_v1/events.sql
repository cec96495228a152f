-- Insert the events to erase into the list of an erasure: those with a tombstone of this erasure, and those of the
-- persons. Only what a producer sent says whose an event is. What a service logged is listed too, for pairs, but not
-- kept, since a caller may claim any event.
INSERT INTO `{{ event_list }}` (stream, event_id, is_kept)
WITH sent AS (
  SELECT
    event.stream,
    event.event_id,
    event.origin = 'ingest' AS is_kept
  FROM `{{ events }}.embedding_event_v1` AS event
  WHERE
    event.occurred_at >= TIMESTAMP '1970-01-01'
    AND event.subject_key IN (SELECT subject_list.subject_key FROM `{{ subject_list }}` AS subject_list)
    AND LEAST(event.occurred_at, event.logged_at) <= @erased_before
  UNION ALL
  SELECT
    rejection.stream,
    rejection.event_id,
    TRUE AS is_kept
  FROM `{{ events }}.rejection_v1` AS rejection
  WHERE
    rejection.event_id IS NOT NULL
    AND rejection.subject_key IN (SELECT subject_list.subject_key FROM `{{ subject_list }}` AS subject_list)
    AND rejection.rejected_at <= @erased_before
  UNION ALL
  SELECT
    tombstone.stream,
    tombstone.event_id,
    TRUE AS is_kept
  FROM `{{ audit }}.event_tombstone_v1` AS tombstone
  WHERE tombstone.certificate_id = @certificate_id
)
SELECT
  sent.stream,
  sent.event_id,
  LOGICAL_OR(sent.is_kept) AS is_kept
FROM sent
GROUP BY sent.stream, sent.event_id
