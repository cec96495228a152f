"""What an attacker can learn from the embeddings of an encoder."""
