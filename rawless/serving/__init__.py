"""Encoder, classifier and orchestrator as HTTP services: raw content in, a prediction out, one door."""
