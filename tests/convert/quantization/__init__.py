"""Tests of convert.quantization."""
