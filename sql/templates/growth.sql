-- Count the rows of an earlier snapshot that are among the remaining examples unchanged, those that are not, and the
-- examples that it does not have, with the time span of these. No vector is read: one belongs to its delivery.
{%- from 'templates/canonical.sql' import of_attributes, of_number %}
{%- set with_split = true %}
WITH remaining AS (
{% filter indent(2, true) %}{% include 'templates/remaining.sql' %}{% endfilter %}
),
compared AS (
  SELECT
    parent.event_id AS parent_id,
    remaining.event_id,
    remaining.occurred_at,
    remaining.logged_at = parent.logged_at
    AND remaining.occurred_at = parent.occurred_at
    AND remaining.split = parent.split
    AND COALESCE(remaining.label, '') = COALESCE(parent.label, '')
    AND {{ of_number('remaining.label_value') }} = {{ of_number('parent.label_value') }}
    AND COALESCE(remaining.person_key, '') = COALESCE(parent.person_key, '')
    AND {{ of_attributes('remaining.attributes') | indent(4) }} = {{ of_attributes('parent.attributes') | indent(4) }}
      AS is_same
  FROM `{{ parent }}` AS parent
  FULL OUTER JOIN remaining ON parent.event_id = remaining.event_id
)
SELECT
  COUNTIF(COALESCE(compared.is_same, FALSE)) AS unchanged,
  COUNTIF(compared.parent_id IS NOT NULL AND NOT COALESCE(compared.is_same, FALSE)) AS gone,
  COUNTIF(compared.parent_id IS NULL) AS added,
  MIN(IF(compared.parent_id IS NULL, compared.occurred_at, NULL)) AS first_at,
  MAX(IF(compared.parent_id IS NULL, compared.occurred_at, NULL)) AS last_at
FROM compared
