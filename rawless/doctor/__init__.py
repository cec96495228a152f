"""Checks of the local machine, and of what a job on Google Cloud needs. They change nothing on Google Cloud."""
