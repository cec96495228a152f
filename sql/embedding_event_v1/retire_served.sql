-- Delete what services logged by other encoders of events of a stream that this encoder alone ingested. Its rows
-- superseded them: without these, what a caller claimed would count as the producer's event. The span is that of its
-- rows, so that rows that jobs write at this moment, which cannot be deleted yet, do not matter.
DELETE FROM `{{ events }}.embedding_event_v1` AS event
WHERE
  event.occurred_at BETWEEN @first_at AND @last_at
  AND event.stream = @stream
  AND event.origin = 'serving'
  AND event.encoder_fingerprint != @fingerprint
  AND event.event_id IN (
    SELECT logged.event_id
    FROM `{{ events }}.embedding_event_v1` AS logged
    WHERE
      logged.occurred_at >= TIMESTAMP_SECONDS(0)
      AND logged.stream = @stream
      AND logged.origin = 'ingest'
    GROUP BY logged.event_id
    HAVING LOGICAL_AND(logged.encoder_fingerprint = @fingerprint)
  )
