"""Tools on faces that are there: check, compare, audit, split, write."""
