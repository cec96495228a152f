"""`rawless worker`: reads messages, and acknowledges them after their rows are written. Without Beam."""
