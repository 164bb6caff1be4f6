"""HTML pages of one file each: no other file, no network, no script. One frame and one style sheet."""
