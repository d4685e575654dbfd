"""What benchmarks/solid.py is made of: the two servers, the client, and the load."""
