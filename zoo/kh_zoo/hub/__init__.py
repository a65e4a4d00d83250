"""The Hugging Face Hub: what is asked there, what is kept of it here, and model cards."""
