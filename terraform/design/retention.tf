# Retention periods. Raw content: unacknowledged messages for a week, temporary files for a day.
locals {
  retention = {
    unacknowledged_seconds = 7 * 24 * 60 * 60
    acknowledged           = false
    oldest_unacked_alert   = 60 * 60
    temp_days              = 1
    # The minimum of BigQuery: deleted rows can be restored for this long, and by Google for another week.
    time_travel_hours       = 48
    log_days                = 400
    key_rotation_seconds    = 90 * 24 * 60 * 60
    key_destruction_seconds = 30 * 24 * 60 * 60
    # Tables keep their rows unless their schema in sql/ has `partition.days`.
  }
}
