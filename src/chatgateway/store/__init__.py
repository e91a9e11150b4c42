"""What is remembered: the only folder that knows Redis."""
