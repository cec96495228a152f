"""The Python API, which `import rawless as rw` offers: a home with its datasets and heads, and encoders in memory."""
