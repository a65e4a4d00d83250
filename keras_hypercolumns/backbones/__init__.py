"""Networks that taps are harvested from."""
