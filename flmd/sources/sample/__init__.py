"""The built-in sample: 3-D faces drawn by a program, in the published layouts."""
