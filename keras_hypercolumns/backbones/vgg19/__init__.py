"""VGG-19 of one channel, its taps, and weights from elsewhere."""
