-- The first logged delivery is returned, so that filtering logged_at by an as-of is exact and a replay changes no
-- dataset. This is a table function because BigQuery cannot push a partition filter through a view with a window
-- function.
CREATE OR REPLACE TABLE FUNCTION `{{ events }}.embedding_event`(start_at TIMESTAMP, end_at TIMESTAMP) AS (
{%- set start_at, end_at, stream, vectors = 'start_at', 'end_at', none, true %}
{% filter indent(2, true) %}{% include 'embedding_event_v1/first_delivery.sql' %}{% endfilter %}
)
