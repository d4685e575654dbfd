"""The command line: one file a subject. Every command works whether or not the server runs."""
