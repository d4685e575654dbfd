"""The front door: command line, settings, putting the parts together, and the demo city."""
