"""Events: the stream file that declares them, the sources that deliver them, the parser that checks them. No Beam."""
