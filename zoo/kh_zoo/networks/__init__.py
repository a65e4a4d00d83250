"""The network format: a flat list of nodes over a closed set of operations."""
