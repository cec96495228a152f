-- Count the events in the list of an erasure that get a tombstone.
SELECT COUNT(*) AS events
FROM `{{ event_list }}` AS event_list
WHERE event_list.is_kept
