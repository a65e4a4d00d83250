"""Heads fitted to a trunk that stays."""
