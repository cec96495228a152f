{#- The latest label of each key that was known at the as-of; with `at_each_time` the label of each key and time. The
including template sets `keys`. -#}
ranked AS (
  SELECT
    {{ keys }},
    -- Adding zero takes the sign from a zero, which has two texts otherwise.
    IF(
      @is_number,
      CAST(SAFE_CAST(CAST(given_label.label AS STRING) AS FLOAT64) + 0 AS STRING),
      CAST(given_label.label AS STRING)
    ) AS label,
    given_label.labelled_at,
    RANK() OVER (
      PARTITION BY {{ keys }}{{ ', given_label.labelled_at' if at_each_time }}
      ORDER BY given_label.labelled_at DESC
    ) AS recency
  FROM given_label
  WHERE given_label.labelled_at <= @as_of
),
latest AS (
  SELECT
    {{ keys }},
    MIN(label) AS raw_label,
    MIN(labelled_at) AS labelled_at,
    -- Different labels of the same time contradict each other, and so do a label and its withdrawal.
    COUNT(DISTINCT label) > 1 OR (COUNT(label) > 0 AND COUNT(label) < COUNT(*)) AS is_ambiguous
  FROM ranked
  WHERE recency = 1
  GROUP BY {{ keys }}{{ ', ranked.labelled_at' if at_each_time }}
),
checked_label AS (
  -- Only a class of the closed list or a step of the range is returned, so no label can carry text into a snapshot.
  SELECT
    {{ keys }},
    labelled_at,
    raw_label IS NOT NULL AND NOT is_ambiguous AND IF(
      @is_number,
      COALESCE(SAFE_CAST(raw_label AS FLOAT64) NOT BETWEEN @lowest AND @highest, TRUE),
      raw_label NOT IN UNNEST(@classes)
    ) AS is_outside,
    raw_label IS NULL AS is_unlabelled,
    is_ambiguous,
    IF(NOT @is_number AND raw_label IN UNNEST(@classes), raw_label, NULL) AS label,
    IF(
      @is_number AND SAFE_CAST(raw_label AS FLOAT64) BETWEEN @lowest AND @highest,
      @lowest + ROUND((SAFE_CAST(raw_label AS FLOAT64) - @lowest) / @step) * @step,
      NULL
    ) AS label_value
  FROM latest
)
