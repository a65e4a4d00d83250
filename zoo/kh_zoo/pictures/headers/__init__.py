"""What a picture file says of itself, of each kind, before any of it is decoded."""
