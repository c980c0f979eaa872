"""Backbones × input sizes × recipes × threads, trained, converted and measured by the commands of the other folders."""
