"""Importing models that were trained elsewhere: an ONNX file is read, checked, tried and turned into a head."""
