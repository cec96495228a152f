{#- Forms of values that every engine writes alike, to be hashed: texts with their lengths, and numbers with the 17
    digits that tell any two apart. Equal numbers have equal forms: -0.0 is written as 0. -#}
{%- macro of_text(value) -%}
COALESCE(CONCAT(CAST(BYTE_LENGTH({{ value }}) AS STRING), ':', {{ value }}), '-')
{%- endmacro -%}
{%- macro of_number(number) -%}
COALESCE(FORMAT('%.17g', IF({{ number }} = 0, 0.0, {{ number }})), '-')
{%- endmacro -%}
{%- macro of_vector(vector) -%}
COALESCE(
  (
    SELECT STRING_AGG({{ of_number('number') }}, ',' ORDER BY position)
    FROM UNNEST({{ vector }}) AS number WITH OFFSET AS position
  ),
  ''
)
{%- endmacro -%}
{%- macro of_attributes(attributes) -%}
COALESCE(
  (
    SELECT
      STRING_AGG(
        CONCAT({{ of_text('attribute.key') }}, {{ of_text('attribute.value') }}),
        '' ORDER BY attribute.key, attribute.value
      )
    FROM UNNEST({{ attributes }}) AS attribute
  ),
  ''
)
{%- endmacro -%}
{%- macro of_features(features) -%}
COALESCE(
  (
    SELECT
      STRING_AGG(
        CONCAT(
          {{ of_text('feature_column.name') }}, {{ of_number('feature_column.value') }},
          {{ of_text('feature_column.category') }}
        ),
        '' ORDER BY feature_column.name
      )
    FROM UNNEST({{ features }}) AS feature_column
  ),
  ''
)
{%- endmacro -%}
