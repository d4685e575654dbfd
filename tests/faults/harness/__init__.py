"""Faults of disks and processes, and what must hold after them.

recorder.c   writes down, in order, every change of a file or folder and every sync; strikes at a chosen one
recording.py compiles it, and runs a program under it
disk.py      what a power cut or a kill at any place of that order leaves on the disk
workload.py  a seeded citizen's life: every kind of write the house has, each noted once it was acknowledged
decoder.py   docs/vault-format.md carried out with `cryptography` alone
checker.py   what was noted is there, nothing twice, logs verify, sums are right, nothing is plain
"""
