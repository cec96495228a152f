"""Privacy-preserving embedding event pipeline: raw content in, only embeddings out."""
