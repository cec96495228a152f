run "raw_content_is_kept_for_a_week_at_most" {
  command = plan

  assert {
    condition     = output.retention.unacknowledged_seconds == 604800 && !output.retention.acknowledged
    error_message = "Unacknowledged messages must be kept for 7 days, acknowledged ones not at all."
  }
  assert {
    condition     = output.retention.temp_days == 1
    error_message = "Temporary files must be kept for a day."
  }
  assert {
    condition     = output.retention.oldest_unacked_alert == 3600
    error_message = "A message that is an hour old must raise an alert."
  }
  assert {
    condition     = output.tables["rejection_v1"].days == 90 && output.tables["embedding_event_v1"].days == null
    error_message = "Rejections must be kept for 90 days, embeddings until they are erased."
  }
}
