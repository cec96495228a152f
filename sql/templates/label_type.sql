-- Return the labels as the query returns them. It is not run: a dry run tells their type.
WITH {{ inputs }},
given_label AS (
{{ query }}
)
SELECT given_label.label
FROM given_label
