"""The built wheel on emulated Raspberry Pis, and what an inference executes there."""
