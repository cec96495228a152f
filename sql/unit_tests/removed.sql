-- Return the examples that a rule removes, as templates/rule.sql does in a build.
WITH {{ inputs }},
kept AS (
{{ query }}
)
SELECT DISTINCT event.example_id
FROM event
LEFT JOIN kept ON event.example_id = kept.example_id AND event.event_id = kept.event_id
WHERE
  {%- if without_subject == 'keep' %}
  event.person_key IS NOT NULL AND kept.event_id IS NULL
  {%- elif without_subject == 'drop' %}
  event.person_key IS NULL OR kept.event_id IS NULL
  {%- else %}
  kept.event_id IS NULL
  {%- endif %}
