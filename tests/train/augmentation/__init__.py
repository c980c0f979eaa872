"""Tests of train.augmentation."""
