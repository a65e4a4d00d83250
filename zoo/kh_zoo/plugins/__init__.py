"""Plugins: found, asked what they register, and blamed for what fails in them."""
