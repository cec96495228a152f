"""Raw to vector: frozen encoders, their specs and the catalogue. No Beam, no cloud beyond fetching weights."""
