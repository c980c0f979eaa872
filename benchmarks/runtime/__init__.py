"""What running costs: memory over many frames, what an install takes, and the same pictures in other packages."""
