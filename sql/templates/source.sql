{#- A source as it was known at the as-of, its customers turned into persons: `of` says how. -#}
SELECT
  {{ of.expressions | join(',\n  ') }}
{% include 'templates/source_rows.sql' %}
