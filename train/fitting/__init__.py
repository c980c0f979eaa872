"""The training loop: losses, distillation, averaged weights, checkpoints, what a killed run needs, and its speed."""
