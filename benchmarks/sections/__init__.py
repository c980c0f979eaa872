"""What the report shows, a module a section: tables of every figure, and plots of the same figures."""
