"""The HDF5 face store: the file, its columns and its reader."""
