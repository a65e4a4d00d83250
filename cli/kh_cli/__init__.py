"""The command line `kh`."""
