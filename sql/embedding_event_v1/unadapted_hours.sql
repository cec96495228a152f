-- Count the deliveries that still need an adapted vector by the hour in which their event occurred.
SELECT
  TIMESTAMP_TRUNC(unadapted.occurred_at, HOUR) AS start_at,
  COUNT(*) AS events
FROM (
{% filter indent(2, true) %}{% include 'embedding_event_v1/unadapted.sql' %}{% endfilter %}
) AS unadapted
GROUP BY start_at
ORDER BY start_at
