-- Read a label or a rule over no events, as a build does. It is not run: a dry run tells whether BigQuery accepts it.
WITH no_event AS (
  SELECT {{ nulls }}
),
{{ inputs }},
own AS (
{{ query }}
)
SELECT own.*
FROM own
CROSS JOIN no_event
WHERE {{ conditions }}
