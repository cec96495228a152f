-- Give encoders of a stream roles, unless its pointers changed since the caller read them.
INSERT INTO `{{ events }}.stream_pointer_v1` (stream, role, encoder_fingerprint, since)
SELECT
  @stream,
  pointed.role,
  pointed.encoder_fingerprint,
  @since
FROM UNNEST(@pointers) AS pointed
WHERE
  (SELECT COUNT(*) FROM `{{ events }}.stream_pointer_v1` AS known WHERE known.stream = @stream) = @known_rows
