{#- Forms of values that every engine writes alike, to be hashed: texts with their lengths, and numbers with the 17
    digits that tell any two apart. Equal numbers have equal forms: -0.0 is written as 0. -#}
{%- macro of_text(value) -%}
COALESCE(FORMAT('%d:%s', BYTE_LENGTH({{ value }}), {{ value }}), '-')
{%- endmacro -%}
{%- macro of_number(number) -%}
COALESCE(FORMAT('%.17g', IF({{ number }} = 0, 0.0, {{ number }})), '-')
{%- endmacro -%}
{#- Elements of vectors are mostly FLOAT32, of moderate size: such numbers are multiples of 2^-48, which are written as
    integers, since those are written in a third of the time that 17 digits take. -#}
{%- macro of_element(number) -%}
CASE
  WHEN ABS({{ number }}) >= 16384 THEN FORMAT('f%.17g', {{ number }})
  WHEN FLOOR({{ number }} * 281474976710656) = {{ number }} * 281474976710656
    THEN CAST(CAST({{ number }} * 281474976710656 AS INT64) AS STRING)
  ELSE FORMAT('f%.17g', {{ number }})
END
{%- endmacro -%}
{%- macro of_vector(vector) -%}
COALESCE(
  ARRAY_TO_STRING(
    ARRAY(
      SELECT
        {{ of_element('number') | indent(8) }}
      FROM UNNEST({{ vector }}) AS number WITH OFFSET AS position
      ORDER BY position
    ),
    ','
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
