-- Count the deliveries that a version of a head has not predicted yet by the hour in which their event occurred.
SELECT
  TIMESTAMP_TRUNC(unpredicted.occurred_at, HOUR) AS start_at,
  COUNT(*) AS events
FROM (
{% filter indent(2, true) %}{% include 'prediction_v1/unpredicted.sql' %}{% endfilter %}
) AS unpredicted
GROUP BY start_at
ORDER BY start_at
