-- The encoders of the eligible events.
SELECT DISTINCT event.encoder_fingerprint
FROM `{{ event }}` AS event
