{#- The hash of a row of a snapshot over all of its columns, in hexadecimal. -#}
{%- from 'templates/canonical.sql' import of_attributes, of_features, of_number, of_text, of_vector -%}
{%- macro of_row(row) -%}
TO_HEX(
  SHA256(
    CONCAT(
      {%- for name in ('event_id', 'left_event_id', 'right_event_id', 'stream', 'label', 'split', 'person_key',
        'encoder_fingerprint') %}
      {{ of_text(row ~ '.' ~ name) }},
      {%- endfor %}
      CAST(UNIX_MICROS({{ row }}.occurred_at) AS STRING),
      ';',
      {{ of_number(row ~ '.label_value') }},
      ';',
      {{ of_attributes(row ~ '.attributes') | indent(6) }},
      ';',
      {{ of_features(row ~ '.features') | indent(6) }},
      ';',
      {{ of_vector(row ~ '.embedding') | indent(6) }},
      ';',
      {{ of_vector(row ~ '.right_embedding') | indent(6) }}
    )
  )
)
{%- endmacro -%}
