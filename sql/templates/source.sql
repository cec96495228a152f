{#- Return a source as it was known at the as-of, with persons in place of customers; `of` is its SourceTable. -#}
SELECT
  {{ of.expressions | join(',\n  ') }}
{% include 'templates/source_rows.sql' %}
