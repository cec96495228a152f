-- Count the rows of a source, as it was known at the as-of, that are not as a dataset expects. All in one pass.
WITH {{ inputs }}
SELECT
  COUNT(*) AS row_count
  {%- for column in expected.not_null %},
  COUNTIF(source.`{{ column }}` IS NULL) AS null_{{ loop.index0 }}
  {%- endfor %}
  {%- for column in expected.accepted_values %},
  COUNTIF(CAST(source.`{{ column }}` AS STRING) NOT IN UNNEST(@values_{{ loop.index0 }})) AS outside_{{ loop.index0 }}
  {%- endfor %}
  {%- for columns in expected.unique %}
  {%- set fields %}source.`{{ columns | join('`, source.`') }}`{% endset %}
  {%- set known %}source.`{{ columns | join('` IS NOT NULL AND source.`') }}` IS NOT NULL{% endset %},
  COUNTIF({{ known }}) - COUNT(DISTINCT IF({{ known }}, TO_JSON_STRING(STRUCT({{ fields }})), NULL))
    AS repeated_{{ loop.index0 }}
  {%- endfor %}
  {%- if expected.fresh_within %},
  COUNTIF(source.known_at >= @fresh_from) AS fresh
  {%- endif %}
FROM {{ name }} AS source
