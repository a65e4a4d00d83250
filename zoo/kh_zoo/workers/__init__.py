"""The process that colours one picture after the other, and what it is asked and answers."""
