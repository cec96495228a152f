"""Jobs on Dataflow: the file that describes the job of a stream, and starting, changing and ending such jobs."""
