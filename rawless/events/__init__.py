"""From a producer's delivery to a checked event: the stream file, the sources and the parsing. No Beam."""
