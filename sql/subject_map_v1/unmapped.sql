-- Insert one row for each customer of a business table that the subject map lacks under the current key, one for all
-- that it contains, and one for all rows without an id.
INSERT INTO `{{ worklist }}` (customer_id, is_mapped, customers, row_count)
WITH business AS (
  SELECT
    IF(
      TRIM(CAST(source.`{{ column }}` AS STRING), ' ') = '', NULL, CAST(source.`{{ column }}` AS STRING)
    ) AS customer_id
  FROM `{{ source }}` AS source
),
mapped AS (
  SELECT DISTINCT known.customer_id
  FROM `{{ subject_map }}` AS known
  WHERE known.subject_key_id = @subject_key_id
),
counted AS (
  SELECT
    IF(mapped.customer_id IS NULL, business.customer_id, NULL) AS unmapped_id,
    mapped.customer_id IS NOT NULL AS is_mapped,
    COUNT(DISTINCT business.customer_id) AS customers,
    COUNT(*) AS row_count
  FROM business
  LEFT JOIN mapped ON business.customer_id = mapped.customer_id
  GROUP BY unmapped_id, is_mapped
)
SELECT
  counted.unmapped_id,
  counted.is_mapped,
  counted.customers,
  counted.row_count
FROM counted
