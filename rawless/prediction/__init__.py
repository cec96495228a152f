"""Predictions in bulk: a head over a source of events, over stored embeddings, or over a snapshot."""
