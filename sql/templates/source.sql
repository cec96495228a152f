{#- Return a source as it was known at the as-of, with persons in place of customers; `of` is its SourceTable. With
`at_event` return each row once for each event that occurred when it was known, with that event's id. -#}
SELECT
  {{ (of.expressions_at_event if at_event else of.expressions) | join(',\n  ') }}
{% include 'templates/source_rows.sql' %}
