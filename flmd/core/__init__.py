"""What every room stands on: boxes and matrices, pictures, params, records, files that are whole."""
