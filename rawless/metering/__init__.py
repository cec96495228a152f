"""What a process measures of itself: one table of metrics, read by Prometheus from the process and sent on by Beam."""
