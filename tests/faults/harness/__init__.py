"""Faults of disks and processes, and what must hold after them (docs/adr/0061).

recorder.c    writes down, in order, every change of a file or folder and every sync; strikes at a chosen one
recorder.py   the same, as the program below it sees it
recording.py  compiles it, and runs a program under it
workload.py   a seeded citizen's life: every kind of write the house has, each noted once it was acknowledged
visitors.py   everybody who comes to a second citizen's doors meanwhile: apps, partners, sources, consoles, researchers
writes.py     which kinds of writes the source has, which a life did, and every row as a promise
refused.py    a disk that refuses a sync, and a process that ends right after it
places.py     the folders of that life
disk.py       what a power cut or a kill at any place of the record leaves on the disk
promises.py   what had been promised at that place
decoder.py    docs/vault-format.md carried out with block ciphers and hashes alone
recovery.py   the house started again, which may die once more
checker.py    what was promised is there, nothing twice, logs verify, sums are right, nothing is plain
"""
