{#- The hash of a delivery over what a dataset reads but vectors, by which equal times of logging are ranked. -#}
{%- from 'templates/canonical.sql' import of_attributes, of_text -%}
{%- macro of_delivery(row) -%}
FARM_FINGERPRINT(
  CONCAT(
    {%- for name in ('subject_key', 'encoder', 'encoder_version') %}
    {{ of_text(row ~ '.' ~ name) }},
    {%- endfor %}
    CAST(UNIX_MICROS({{ row }}.occurred_at) AS STRING),
    ';',
    {{ of_attributes(row ~ '.attributes') | indent(4) }}
  )
)
{%- endmacro -%}
