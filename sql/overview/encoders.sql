-- Return the names of the registered encoders.
SELECT DISTINCT
  registered.fingerprint,
  registered.name,
  registered.version
FROM `{{ events }}.encoder_v1` AS registered
