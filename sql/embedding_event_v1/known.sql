{#- The condition with which every reader of deliveries selects those that count at the as-of. -#}
{%- macro is_known(delivery) -%}
{{ delivery }}.logged_at <= @as_of
  AND ({{ delivery }}.superseded_at IS NULL OR {{ delivery }}.superseded_at > @as_of)
{%- endmacro -%}
