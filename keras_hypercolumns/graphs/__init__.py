"""What is known of, and made from, a functional model: taps, strides, receptive fields, twins."""
