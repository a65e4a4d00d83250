"""Pretrained weights of VGG-19: where they come from, and how they become single-channel."""
