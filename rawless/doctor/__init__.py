"""The preflight: what a job on Google Cloud lacks, each thing with the command that mends it. It changes nothing."""
