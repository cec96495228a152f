"""The lifecycle of encoders: what fine-tuning one would gain, and whether it computes what its library does."""
