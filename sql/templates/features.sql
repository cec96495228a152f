{#- The features of the events of the CTE `remaining`, each from the latest row that was known when the event
occurred. `features` are FeatureColumns. Rows and events of nobody are left out before the window, which would sort them
as one partition. Times are joined by a window over rows and events together and not by a
comparison, for which BigQuery would pair every row of a person with every event. -#}
featured AS (
  SELECT DISTINCT
    remaining.event_id,
    remaining.person_key,
    remaining.occurred_at
  FROM remaining
),
{%- for each in features %}
{%- set column, feature, of, prefix = 'source.`' ~ each.feature.value ~ '`', each.feature, each.of, each.prefix %}
{{ prefix }}_value AS (
  -- Only a class of the closed list or a step of the range is read, so no feature can carry text into a snapshot.
  SELECT
    {{ each.key }} AS entity,
    source.`{{ feature.known_at }}` AS known_at,
    {{ column }} IS NULL AS is_empty,
    {%- if feature.type == 'number' %}
    IF(
      CAST({{ column }} AS FLOAT64) BETWEEN @{{ prefix }}_lowest AND @{{ prefix }}_highest,
      @{{ prefix }}_lowest
      + ROUND((CAST({{ column }} AS FLOAT64) - @{{ prefix }}_lowest) / @{{ prefix }}_step) * @{{ prefix }}_step,
      NULL
    ) AS value
    {%- else %}
    IF(CAST({{ column }} AS STRING) IN UNNEST(@{{ prefix }}_classes), CAST({{ column }} AS STRING), NULL) AS value
    {%- endif %}
  {% filter indent(2) %}{% include 'templates/source_rows.sql' %}{% endfilter %}
),
{{ prefix }}_known AS (
  SELECT
    entity,
    known_at,
    MIN(value) AS value,
    COUNT(DISTINCT value) > 1 OR COUNT(value) BETWEEN 1 AND COUNT(*) - 1 AS is_contradictory,
    LOGICAL_AND(is_empty) AS is_empty
  FROM {{ prefix }}_value
  WHERE entity IS NOT NULL
  GROUP BY entity, known_at
),
{{ prefix }}_timeline AS (
  SELECT
    featured.event_id,
    featured.{{ 'event_id' if feature.by == 'event' else 'person_key' }} AS entity,
    featured.occurred_at AS ordered_at,
    CAST(NULL AS TIMESTAMP) AS known_at
  FROM featured
  WHERE featured.{{ 'event_id' if feature.by == 'event' else 'person_key' }} IS NOT NULL
  UNION ALL
  SELECT
    CAST(NULL AS STRING) AS event_id,
    entity,
    known_at AS ordered_at,
    known_at
  FROM {{ prefix }}_known
),
{{ prefix }}_latest AS (
  -- Without a frame the window includes the rows of the same time.
  SELECT
    event_id,
    entity,
    ordered_at AS occurred_at,
    MAX(known_at) OVER (PARTITION BY entity ORDER BY ordered_at) AS known_at
  FROM {{ prefix }}_timeline
),
{{ prefix }} AS (
  SELECT
    latest.event_id,
    CASE
      {%- if feature.max_age %}
      WHEN TIMESTAMP_SUB(latest.occurred_at, INTERVAL @{{ prefix }}_max_age SECOND) > known.known_at THEN 'old'
      {%- endif %}
      WHEN known.is_contradictory THEN 'contradictory'
      WHEN known.is_empty THEN 'empty'
      WHEN known.value IS NULL THEN 'outside'
    END AS problem,
    known.value
  FROM {{ prefix }}_latest AS latest
  INNER JOIN {{ prefix }}_known AS known ON latest.entity = known.entity AND latest.known_at = known.known_at
  WHERE latest.event_id IS NOT NULL
),
{%- endfor %}
feature AS (
  SELECT
    featured.event_id,
    [
      {%- for each in features %}
      STRUCT(
        @{{ each.prefix }}_name AS name,
        {%- set value = 'IF(' ~ each.prefix ~ '.problem IS NULL, ' ~ each.prefix ~ '.value, NULL)' %}
        {{ value if each.feature.type == 'number' else 'CAST(NULL AS FLOAT64)' }} AS value,
        {{ value if each.feature.type == 'class' else 'CAST(NULL AS STRING)' }} AS category
      ){{ ',' if not loop.last }}
      {%- endfor %}
    ] AS features
    {%- for each in features %},
    IF({{ each.prefix }}.event_id IS NULL, 'absent', {{ each.prefix }}.problem) AS {{ each.prefix }}_problem
    {%- endfor %}
  FROM featured
  {%- for each in features %}
  LEFT JOIN {{ each.prefix }} ON featured.event_id = {{ each.prefix }}.event_id
  {%- endfor %}
)
