"""What a network's quantization costs, what an exported file must fulfil, where it runs and how fast."""
