-- Delete the rows of a table that are to be erased.
{%- from 'erasure_v1/is_erased.sql' import is_erased %}
DELETE FROM `{{ table }}` AS stored
WHERE
  {%- if of.partition %}
  stored.`{{ of.partition }}` BETWEEN @first_at AND @last_at
  AND
  {%- endif %} (
    {{ is_erased(of, subject_list, event_list) | indent(4) }}
  )
