"""From raw content to vectors: frozen encoders, their specs and the catalogue.

Imports neither Beam nor any cloud client but the one that downloads weights.
"""

from rawless import telemetry as telemetry  # opts out of telemetry before any library is imported
