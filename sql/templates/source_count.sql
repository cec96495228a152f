-- Count the rows of a source that were known at the as-of, and the customers among them that the subject map lacks. Ids
-- that no event can carry, because they are empty or too long, are not counted.
SELECT
  COUNT(*) AS row_count,
  {%- if of.customer %}
  COUNT(
    DISTINCT IF(
      person.person_key IS NULL AND LENGTH(CAST(source.`{{ of.customer }}` AS STRING)) BETWEEN 1 AND {{ longest }},
      source.`{{ of.customer }}`,
      NULL
    )
  ) AS unmapped
  {%- else %}
  0 AS unmapped
  {%- endif %}
{% include 'templates/source_rows.sql' %}
