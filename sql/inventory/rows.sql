-- Return the number of rows of a table, and the time of the oldest if it is partitioned.
SELECT
  COUNT(*) AS row_count,
  {% if partition %}MIN({{ partition }}){% else %}CAST(NULL AS TIMESTAMP){% endif %} AS oldest_at
FROM `{{ table }}`
WHERE {% if partition %}{{ partition }} >= @start_of_events{% else %}@start_of_events IS NOT NULL{% endif %}
