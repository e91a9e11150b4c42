"""The HTTP side, one file per noun."""
