"""A model file on the device: what it says of itself, what must be checked of it, and the interpreter that runs it."""
