"""The local Pub/Sub: a small server of Google's protocol that keeps messages in memory only."""
