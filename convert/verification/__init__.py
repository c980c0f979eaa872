"""What an exported file must fulfil, what its quantization cost, and in which layer."""
