"""Importing models that were trained elsewhere: an ONNX file is read, checked, tried and written as a head."""
