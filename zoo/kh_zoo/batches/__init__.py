"""Many pictures: what is to be done, what was done, and the process that does it."""
