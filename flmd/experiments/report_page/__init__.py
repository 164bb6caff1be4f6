"""The report of an experiment: one HTML file that needs no other file, no network and no script."""
