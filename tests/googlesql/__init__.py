"""The statements that the tests send to the local BigQuery, analysed by Google's own analyzer: `make analyze`."""
