{#- The examples that no step has removed so far; if `with_split`, each with its split. -#}
SELECT
  COALESCE(example.example_id, example.event_id) AS example_id,
  example.side,
  example.event_id,
  example.person_key,
  example.occurred_at,
  example.logged_at,
  example.attributes,
  example.label,
  example.label_value,
  example.labelled_at,
  example.origin,
  example.row_hash
  {%- if with_split %},
  {% include 'templates/split.sql' %} AS split
  {%- endif %}
FROM `{{ example }}` AS example
LEFT JOIN `{{ mark }}` AS mark ON COALESCE(example.example_id, example.event_id) = mark.example_id
WHERE example.removed_by IS NULL AND mark.example_id IS NULL
