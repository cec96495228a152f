"""The local stack: BigQuery and Pub/Sub on this machine, served by one background process."""
