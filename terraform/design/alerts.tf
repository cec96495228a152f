# The reasons of rawless/privacy/reasons.py (a check holds the two together), by what a rise of each asks for.
locals {
  reasons = {
    # Every one is a fault of ours: one in ten minutes is told.
    ours = ["encoder_failed", "internal", "non_finite_embedding", "row_refused"]
    # The objects that messages name: more than a few mean a bucket or a prefix, not a producer's slip.
    objects = ["object_not_found", "payload_uri_forbidden"]
    # What producers send.
    producers = [
      "bad_event_id", "bad_occurred_at", "empty_payload", "empty_text", "forbidden_characters", "invalid_utf8", "malformed_event",
      "missing_event_id", "missing_subject", "payload_too_large", "too_many_pixels",
      "undecodable_image", "unknown_stream", "unsupported_image_format", "wrong_modality",
    ]
  }

  # Share of what was read in ten minutes above which a reason is told.
  rejection_shares = { ours = 0, objects = 0.001, producers = 0.02 }

  # Counters as pipelines/rejections.py names them. The incident says which of them rose: `rejected.STAGE.REASON`.
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
