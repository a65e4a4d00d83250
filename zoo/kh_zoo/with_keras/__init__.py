"""From the network format to Keras models, and back."""
