"""Defences of encoders: learning a projection, and measuring what each gives for what it costs."""
