-- Count the rows of a table that are to be erased, and find their first and last time if it is partitioned.
{%- from 'erasure_v1/is_erased.sql' import is_erased %}
SELECT
  COUNT(*) AS row_count
  {%- if of.partition %},
  MIN(stored.`{{ of.partition }}`) AS first_at,
  MAX(stored.`{{ of.partition }}`) AS last_at
  {%- endif %}
FROM `{{ table }}` AS stored
WHERE
  {%- if of.partition %}
  stored.`{{ of.partition }}` >= TIMESTAMP '1970-01-01'
  AND
  {%- endif %} (
    {{ is_erased(of, subject_list, event_list) | indent(4) }}
  )
