"""Backbones and what their weights begin with: ImageNet, files, other networks, shipped .tflite files."""
