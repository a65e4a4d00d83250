"""What pictures say besides their pixels: read, corrected, and written, format by format."""
