{#- The columns of a row of a snapshot in the order of its table, and its hash. -#}
{%- from 'templates/row_hash.sql' import of_row -%}
SELECT
  {%- for name in columns %}
  selected.{{ name }},
  {%- endfor %}
  {{ of_row('selected') | indent(2) }} AS row_hash
FROM selected
