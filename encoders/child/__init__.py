"""What runs in a child process that prepares content (`encoders.isolation` is its parent's side).

It imports Pillow and NumPy, but neither torch nor pydantic, so that it starts fast and stays small.
"""
