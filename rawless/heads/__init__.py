"""From snapshots to shallow models: readers for notebooks, torch and Hugging Face."""
