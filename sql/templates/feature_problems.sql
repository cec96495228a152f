-- Count the remaining examples by each feature and reason why it is missing.
{%- set with_split = false %}
WITH remaining AS (
{% filter indent(2, true) %}{% include 'templates/remaining.sql' %}{% endfilter %}
),
{% include 'templates/features.sql' %}
SELECT
  COUNT(DISTINCT remaining.example_id) AS examples
  {%- for each in features %}{% for problem in problems %},
  COUNT(DISTINCT IF(feature.{{ each.prefix }}_problem = '{{ problem }}', remaining.example_id, NULL))
    AS {{ each.prefix }}_{{ problem }}
  {%- endfor %}{% endfor %}
FROM remaining
INNER JOIN feature ON remaining.event_id = feature.event_id
