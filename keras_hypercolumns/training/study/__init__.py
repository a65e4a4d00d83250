"""Which taps say what of colour."""
