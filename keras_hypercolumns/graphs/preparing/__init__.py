"""What maps of taps pass through on their way into a hypercolumn."""
