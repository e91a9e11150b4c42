"""What is said: the frames on the wire and how they become bytes."""
