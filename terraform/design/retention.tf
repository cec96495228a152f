# How long anything is kept. Raw content: what nobody acknowledged for a week, and temporary files for a day.
locals {
  retention = {
    unacknowledged_seconds = 7 * 24 * 60 * 60
    acknowledged           = false
    oldest_unacked_alert   = 60 * 60
    temp_days              = 1
    # BigQuery's least: what was erased can be restored for so long, and by Google for a week more.
    time_travel_hours       = 48
    log_days                = 400
    key_rotation_seconds    = 90 * 24 * 60 * 60
    key_destruction_seconds = 30 * 24 * 60 * 60
    # Days by table; a table that is not named keeps its rows. The tables' READMEs say the same.
    tables = { rejection_v1 = 90 }
  }
}
