"""The lifecycle of encoders: what fine-tuning one would gain."""
