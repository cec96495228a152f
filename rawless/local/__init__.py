"""The local stack: BigQuery and Pub/Sub on this machine, in one background process, with their home folder."""
