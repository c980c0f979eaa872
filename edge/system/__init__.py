"""Facts about the machine, read from /proc, /sys, /etc and the Pi's firmware below a root that tests can fake.

Every function gives None for what the system does not say; nothing is guessed.
"""
