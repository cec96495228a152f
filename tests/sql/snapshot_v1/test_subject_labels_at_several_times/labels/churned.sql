/*
says: Whether a person left.
kind: subject
*/
SELECT
  churned.person_key,
  churned.value AS label,
  churned.known_at AS labelled_at
FROM churned
