"""What benchmarks/peers.py is made of: the server, the peers' environments, one script per peer, and our own side."""
