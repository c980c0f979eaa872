"""The .tflite of each recipe: exported, rewritten, looked into, packed with what it says of itself."""
