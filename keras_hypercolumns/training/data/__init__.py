"""Pictures to train on: split, cropped, aged."""
