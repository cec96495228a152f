-- Return the encoder fingerprints of the eligible events.
SELECT DISTINCT event.encoder_fingerprint
FROM `{{ event }}` AS event
