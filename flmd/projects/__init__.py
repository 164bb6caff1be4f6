"""A project of one's own: its files, the flmd that it was made with, and its data sets."""
