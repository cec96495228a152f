-- Copy the columns of a source that SQL names. A text that a copy must not contain is replaced before it is stored.
CREATE TABLE `{{ copy }}` AS
SELECT
{%- for column in columns %}
  {{ column.expression }} AS `{{ column.name }}`{{ ',' if not loop.last }}
{%- else %}
  TRUE AS is_row
{%- endfor %}
{% include 'templates/source_rows.sql' %}
