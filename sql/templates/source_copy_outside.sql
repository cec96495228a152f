-- Count the texts of each column that were replaced because a copy must not contain them.
SELECT
{%- for column in columns %}
  COUNTIF(copy.`{{ column.name }}` = @outside) AS `{{ column.name }}`{{ ',' if not loop.last }}
{%- endfor %}
FROM `{{ copy }}` AS copy
