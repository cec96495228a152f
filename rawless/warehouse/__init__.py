"""The warehouse: table schemas, row types, SQL templates, and clients for BigQuery. Imports neither torch nor Beam."""
