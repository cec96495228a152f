"""The warehouse: tables as folders, row types, templates, the client. No torch, no Beam."""
