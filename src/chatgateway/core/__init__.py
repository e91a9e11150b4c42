"""What is decided: every rule of the product, without I/O, clock, dice or logging."""
