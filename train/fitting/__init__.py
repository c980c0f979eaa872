"""The training loop: losses, distillation, averaged weights, checkpoints, and what a killed run goes on from."""
