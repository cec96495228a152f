{#- The latest label of each key that was known at the as-of. Who includes this sets `keys`. -#}
ranked AS (
  SELECT
    {{ keys }},
    CAST(label.label AS STRING) AS label,
    label.labelled_at,
    RANK() OVER (PARTITION BY {{ keys }} ORDER BY label.labelled_at DESC) AS recency
  FROM label
  WHERE label.labelled_at <= @as_of
),
latest AS (
  SELECT
    {{ keys }},
    MIN(label) AS given,
    MIN(labelled_at) AS labelled_at,
    -- Two labels of one time contradict each other; a label that was withdrawn at that time is one of them.
    COUNT(DISTINCT label) > 1 OR (COUNT(label) > 0 AND COUNT(label) < COUNT(*)) AS is_ambiguous
  FROM ranked
  WHERE recency = 1
  GROUP BY {{ keys }}
),
judged AS (
  -- Only a class of the closed list, or a number of the range, goes on: a label cannot carry text out.
  SELECT
    {{ keys }},
    labelled_at,
    given IS NOT NULL AND NOT is_ambiguous AND IF(
      @is_number,
      COALESCE(SAFE_CAST(given AS FLOAT64) NOT BETWEEN @lowest AND @highest, TRUE),
      given NOT IN UNNEST(@classes)
    ) AS is_outside,
    given IS NULL AS is_unlabelled,
    is_ambiguous,
    IF(NOT @is_number AND given IN UNNEST(@classes), given, NULL) AS label,
    IF(
      @is_number AND SAFE_CAST(given AS FLOAT64) BETWEEN @lowest AND @highest, SAFE_CAST(given AS FLOAT64), NULL
    ) AS label_value
  FROM latest
)
