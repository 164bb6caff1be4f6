"""The two commands, `flmd` and `flmd-data`."""

from flmd import errors

errors.quiet_interrupts()  # before the modules of the commands are imported
