"""The life of a request: lifecycle.py tells it in order, routes.py says which URL begins it."""
