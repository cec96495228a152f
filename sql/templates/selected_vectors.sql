{#- The remaining examples, each with the vector of the delivery that was chosen before. -#}
{%- set with_split = true -%}
{%- from 'templates/canonical.sql' import of_vector -%}
{%- from 'embedding_event_v1/delivery_hash.sql' import of_delivery -%}
remaining AS (
{% filter indent(2, true) %}{% include 'templates/remaining.sql' %}{% endfilter %}
),
vector AS (
  SELECT
    remaining.example_id,
    remaining.side,
    remaining.event_id,
    remaining.person_key,
    remaining.occurred_at,
    remaining.logged_at,
    remaining.attributes,
    remaining.label,
    remaining.label_value,
    remaining.split,
    delivery.embedding
    {%- if adapted %},
    delivery.encoder_fingerprint
    {%- endif %}
  FROM remaining
  INNER JOIN `{{ events }}.embedding_event_v1` AS delivery
    ON remaining.event_id = delivery.event_id AND remaining.logged_at = delivery.logged_at
  {%- if without %}
  LEFT JOIN `{{ without }}` AS copied ON remaining.event_id = copied.event_id
  {%- endif %}
  WHERE
    delivery.occurred_at >= @start_at
    AND delivery.occurred_at < @end_at
    AND delivery.stream = @stream
    {%- if adapted %}
    AND delivery.encoder IN (@encoder, @adapted_encoder)
    AND delivery.encoder_fingerprint IN (@target_fingerprint, @adapted_fingerprint)
    -- An event may have deliveries by both encoders: the hash, which is also over the encoder, is of the chosen one.
    AND {{ of_delivery('delivery') | indent(4) }} = remaining.row_hash
    {%- else %}
    AND delivery.encoder = @encoder
    AND delivery.encoder_version = @encoder_version
    {%- endif %}
    {%- if without %}
    AND copied.event_id IS NULL
    {%- endif %}
  {%- if is_tied %}
    -- Of the deliveries that were logged at the same time, the one that was chosen, or one that differs by vector only.
    {%- if adapted %}
    {%- else %}
    AND delivery.encoder_fingerprint = @fingerprint
    {%- endif %}
    AND delivery.origin = remaining.origin
    AND {{ of_delivery('delivery') | indent(4) }} = remaining.row_hash
  QUALIFY
    ROW_NUMBER() OVER (
      PARTITION BY remaining.example_id, remaining.side
      ORDER BY {{ of_vector('delivery.embedding') | indent(6) }}
    )
    = 1
  {%- endif %}
)
