"""The fake-quant network: where it rounds, how it is calibrated and fine-tuned."""
