-- The delivery logged first wins: comparing logged_at with an as-of outside is exact, and a replay changes no old dataset.
-- A table function and not a view: BigQuery cannot push a partition filter through a window over other columns.
CREATE OR REPLACE TABLE FUNCTION `{{ events }}.embedding_event`(start_at TIMESTAMP, end_at TIMESTAMP) AS (
{%- set start_at, end_at, stream, vectors = 'start_at', 'end_at', none, true %}
{% filter indent(2, true) %}{% include 'embedding_event_v1/first_delivery.sql' %}{% endfilter %}
)
