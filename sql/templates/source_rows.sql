FROM `{{ of.table_id }}` AS source
{%- if of.key %}
LEFT JOIN (
  SELECT
    subject.{{ of.key }},
    MIN(subject.person_key) AS person_key
  FROM `{{ subjects }}.subject_map_v1` AS subject
  GROUP BY subject.{{ of.key }}
) AS person
  ON CAST(source.`{{ of.key_column }}` AS STRING) = person.{{ of.key }}
{%- endif %}
{%- if at_event is defined and at_event %}
INNER JOIN (
  SELECT DISTINCT
    event.event_id,
    event.person_key,
    event.occurred_at
  FROM event
) AS event
  ON {{ of.event_join }} AND source.`{{ of.source.known_at }}` <= event.occurred_at
{%- endif %}
{%- if of.source.known_at %}
WHERE source.`{{ of.source.known_at }}` <= @as_of
{%- endif %}
