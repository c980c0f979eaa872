"""The commands of `fer-edge`, one module each; the only modules of `edge` that print."""
