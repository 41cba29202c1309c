"""What all layers use: validation, errors, files, arrays."""
