"""The local Pub/Sub: a small server of Google's protocol, which keeps messages in memory and nowhere else."""
