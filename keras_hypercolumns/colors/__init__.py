"""CIELAB and sRGB in `keras.ops`, and the bins of AB."""
