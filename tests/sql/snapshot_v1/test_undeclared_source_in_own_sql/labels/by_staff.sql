/*
says: Who is of staff.
kind: event
*/
SELECT
  event.event_id,
  IF(staff.subject_key IS NULL, 'ham', 'spam') AS label,
  event.logged_at AS labelled_at
FROM event
LEFT JOIN staff ON event.person_key = staff.subject_key
