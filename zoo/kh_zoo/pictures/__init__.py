"""Picture files: read, joined with colour, and written with all that they carry."""
