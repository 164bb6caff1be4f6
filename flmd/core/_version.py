"""The version of flmd, in a module of its own: nothing has to import the package's front door for it."""

__version__ = "0.1.0"
