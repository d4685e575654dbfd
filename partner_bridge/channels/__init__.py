"""The channels by which a payload arrives: pushed over HTTP, or dropped as a file."""
