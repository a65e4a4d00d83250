"""The colorizer, and its heads."""
