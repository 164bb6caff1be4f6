"""Imported by the server of worker processes alone: ties it to the process that started it."""

from flmd.parallel.leash import kill_with_parent

kill_with_parent()
