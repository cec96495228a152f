"""HTTP services that take raw content and return predictions: encoder, classifier and orchestrator."""
