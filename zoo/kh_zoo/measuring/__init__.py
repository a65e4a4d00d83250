"""How good the colours are: figures, reports, and pages that compare."""
