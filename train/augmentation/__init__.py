"""What happens to a training picture, and the batches that it comes in."""
