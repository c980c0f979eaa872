"""What `fer-edge benchmark` measures, the statistics that judge it, and the records of it."""
