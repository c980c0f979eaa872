"""A Raspberry Pi without a Pi: arm64 Python under user-mode emulation, and what an inference executes there."""
