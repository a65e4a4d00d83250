"""What a person sees: data on stdout, talk on stderr, errors on one line."""
