-- List one event to erase.
INSERT INTO `{{ event_list }}` (stream, event_id, is_kept)
VALUES (@stream, @event_id, TRUE)
