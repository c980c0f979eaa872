"""Tests of convert.tflite."""
