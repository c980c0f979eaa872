"""Networks: backbones and users' own, what their weights begin with, and how they are changed (frozen, folded)."""
