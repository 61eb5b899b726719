"""Operators that send lead events."""
