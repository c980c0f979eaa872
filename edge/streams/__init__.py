"""Faces over time: which is which from frame to frame, what each says, and where the readings go."""
