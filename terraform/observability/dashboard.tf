# The dashboard shows counts, job names and closed codes only, no customer data.
locals {
  counter = "dataflow_googleapis_com:job_user_counter{monitored_resource=\"dataflow_job\",job_name=~\"${var.prefix}-.*\""
  # Of a distribution of Beam, Dataflow keeps the mean and the number of all values since the job started: here the mean
  # of those of the last ten minutes.
  means = { for name in ["batch_items", "batch_fill_percent", "prepare_milliseconds", "encode_milliseconds",
    "append_milliseconds.embedding_event_v1", "queue_oldest_milliseconds.prepare", "queue_oldest_milliseconds.batch"] :
    name => format("sum by (job_name) (%s) / sum by (job_name) (%s)",
      join(" - ", [for offset in ["", " offset 10m"] : join(" * ignoring (metric_name) ", [for of in ["MEAN", "COUNT"] :
      "${local.counter},metric_name=\"${name}_${of}\"}${offset}"])]),
      join(" - ", [for offset in ["", " offset 10m"] : "${local.counter},metric_name=\"${name}_COUNT\"}${offset}"]),
    )
  }
  charts = {
    "Events read, by job"                   = "sum by (job_name) (deriv(${local.counter},metric_name=\"read\"}[5m]))"
    "Embeddings written, by job"            = "sum by (job_name) (deriv(${local.counter},metric_name=\"embeddings\"}[5m]))"
    "Rejections, by stage and reason"       = "sum by (job_name, metric_name) (deriv(${local.counter},metric_name=~\"rejected.*\"}[5m]))"
    "Age of the oldest message, in seconds" = "max by (subscription_id) (pubsub_googleapis_com:subscription_oldest_unacked_message_age{subscription_id=~\"${var.prefix}-.*\"})"
    "Items of a batch, mean"                = local.means["batch_items"]
    "Fill of a batch, mean percent"         = local.means["batch_fill_percent"]
    "Decoding or tokenizing one, mean ms"   = local.means["prepare_milliseconds"]
    "Encoding a batch, mean ms"             = local.means["encode_milliseconds"]
    "Appending a request, mean ms"          = local.means["append_milliseconds.embedding_event_v1"]
    "Wait to be prepared, mean ms"          = local.means["queue_oldest_milliseconds.prepare"]
    "Wait for a batch, mean ms"             = local.means["queue_oldest_milliseconds.batch"]
    "Deaths of decoders, by cause"          = "sum by (job_name, metric_name) (deriv(${local.counter},metric_name=~\"decoder_deaths.*\"}[5m]))"
    "Starts of workers, by job"             = "sum by (job_name) (delta(${local.counter},metric_name=\"process_starts\"}[1h]))"
    "Undelivered messages"                  = "sum by (subscription_id) (pubsub_googleapis_com:subscription_num_undelivered_messages{subscription_id=~\"${var.prefix}-.*\"})"
    "Workers' vCPUs, by job"                = "sum by (job_name) (dataflow_googleapis_com:job_current_num_vcpus{job_name=~\"${var.prefix}-.*\"})"
    "Responses, by service and class"       = "sum by (service_name, response_code_class) (rate(run_googleapis_com:request_count{service_name=~\"${var.prefix}-.*\"}[5m]))"
    "95th percentile of latency, in ms"     = "histogram_quantile(0.95, sum by (service_name, le) (rate(run_googleapis_com:request_latencies_bucket{service_name=~\"${var.prefix}-.*\"}[5m])))"
  }
}

resource "google_monitoring_dashboard" "overview" {
  project = var.projects.raw
  dashboard_json = jsonencode({
    displayName = "Rawless: ${var.prefix}"
    mosaicLayout = {
      columns = 12
      tiles = [for number, title in keys(local.charts) : {
        xPos   = 6 * (number % 2)
        yPos   = 4 * floor(number / 2)
        width  = 6
        height = 4
        widget = {
          title = title
          xyChart = {
            dataSets = [{ plotType = "LINE", timeSeriesQuery = { prometheusQuery = local.charts[title] } }]
          }
        }
      }]
    }
  })
}
