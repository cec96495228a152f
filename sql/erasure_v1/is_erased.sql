{#- The condition that a row `stored` of a table is erased. `of` names its columns of pseudonyms, event ids and times,
and has an expression of the stream; without that, events are found by their ids alone. -#}
{%- macro is_erased(of, subject_list, event_list) -%}
{%- if of.subject -%}
COALESCE(
  stored.`{{ of.subject }}` IN (SELECT subject_list.subject_key FROM `{{ subject_list }}` AS subject_list)
  {%- if of.times | length > 1 %}
  AND LEAST({% for time in of.times %}stored.`{{ time }}`{{ ', ' if not loop.last }}{% endfor %}) <= @erased_before
  {%- elif of.times %}
  AND stored.`{{ of.times[0] }}` <= @erased_before
  {%- endif %},
  FALSE
)
{%- else -%}
FALSE
{%- endif %}
{%- for event in of.events %}
OR COALESCE(
  {{ 'TO_JSON_STRING([' ~ of.stream ~ ', stored.`' ~ event ~ '`])' if of.stream else 'stored.`' ~ event ~ '`' }} IN (
    SELECT {{ 'TO_JSON_STRING([event_list.stream, event_list.event_id])' if of.stream else 'event_list.event_id' }}
    FROM `{{ event_list }}` AS event_list
    {%- if event != 'right_event_id' %}
    WHERE event_list.is_kept
    {%- endif %}
  ),
  FALSE
)
{%- endfor -%}
{%- endmacro -%}
