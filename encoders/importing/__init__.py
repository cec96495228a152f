"""From a model's folder, or a repository of the hub, to its sealed spec: which file says what each field is."""
