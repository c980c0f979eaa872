"""What people read of a conversion: its progress, its JSON's words, its table and its HTML page."""
