"""A folder of files that colours pictures in a browser, without a server that computes."""
