"""Pictures: files decoded and refused, faces cut out and brought to size, labelled faces packed for the benchmark."""
