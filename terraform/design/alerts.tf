# The reasons of rawless/privacy/reasons.py, grouped by who has to act. `make check` compares both lists.
locals {
  reasons = {
    # Errors of Rawless itself: a single one in ten minutes raises an alert.
    internal = [
      "decoder_crashed", "decoder_timeout", "encoder_failed", "internal", "non_finite_embedding", "row_refused",
      "worker_crashed",
    ]
    # Objects that messages name: many of them point to a bucket or a prefix, not to a producer's mistake.
    objects = ["object_not_found", "object_unreadable", "payload_uri_forbidden"]
    # Errors in what producers send.
    producers = [
      "bad_event_id", "bad_occurred_at", "empty_payload", "empty_text", "forbidden_characters", "invalid_utf8",
      "malformed_event", "missing_event_id", "missing_part", "missing_subject", "payload_too_large",
      "too_many_pixels", "undecodable_image", "unknown_stream", "unsupported_image_format", "wrong_modality",
    ]
  }

  # The share of the events read in ten minutes above which a group raises an alert.
  rejection_shares = { internal = 0, objects = 0.001, producers = 0.02 }

  # The counters of rawless/steps/rejections.py. An incident names the one that rose: `rejected.STAGE.REASON`.
  counter = "dataflow_googleapis_com:job_user_counter{monitored_resource=\"dataflow_job\",job_name=~\"${var.prefix}-.*\""
  rejection_alerts = { for group, reasons in local.reasons : group => {
    reasons  = reasons
    severity = group == "producers" ? "WARNING" : "CRITICAL"
    query = join(" ", [
      "sum by (job_name, metric_name) (delta(${local.counter},metric_name=~\"rejected[.][a-z]+[.](${join("|", reasons)})\"}[10m]))",
      "> on (job_name) group_left()",
      "${local.rejection_shares[group]} * sum by (job_name) (delta(${local.counter},metric_name=\"read\"}[10m]))",
    ])
  } }
}
