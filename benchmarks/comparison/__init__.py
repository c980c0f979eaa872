"""Two records of one kind set side by side, with a verdict that a build can act on."""
