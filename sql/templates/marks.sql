-- Return the examples that steps remove, each with the first step that removes it. All steps read the same examples.
{%- set with_split = true %}
WITH remaining AS (
{% filter indent(2, true) %}{% include 'templates/remaining.sql' %}{% endfilter %}
){% for step in steps %},
step_{{ step.position }} AS (
{{ step.sql }}
){% endfor %}

SELECT
  removed.example_id,
  MIN(removed.removed_by) AS removed_by
FROM (
  {%- for step in steps %}
  SELECT
    step_{{ step.position }}.example_id,
    {{ step.position }} AS removed_by
  FROM step_{{ step.position }}
  {%- if not loop.last %}
  UNION ALL
  {%- endif %}
  {%- endfor %}
) AS removed
GROUP BY removed.example_id
