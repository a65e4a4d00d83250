"""CIELAB and sRGB, their gamut, and colour that follows the edges of lightness."""
