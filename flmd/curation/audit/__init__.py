"""Looks at a face store for what spoils a measurement: leaks between splits, copies, wrong labels."""
