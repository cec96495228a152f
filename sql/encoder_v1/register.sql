-- Register a version of an encoder, unless there is one with this name and version.
INSERT INTO `{{ events }}.encoder_v1` (name, version, fingerprint, spec, sealed, registered_at)
SELECT
  @name,
  @version,
  @fingerprint,
  PARSE_JSON(@spec, wide_number_mode => 'round'),
  TRUE,
  @registered_at
FROM (SELECT 1 AS only_once) AS once
WHERE
  NOT EXISTS (
    SELECT 1
    FROM `{{ events }}.encoder_v1` AS registered
    WHERE registered.name = @name AND registered.version = @version
  )
