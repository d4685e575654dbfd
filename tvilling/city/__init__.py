"""The demonstration's city: households that live by published averages, and partners who are strangers to the house.

`households.py` says who lives here; `electricity.py`, `groceries.py`, `trips.py` and `waste.py` say what they do, each a
pure function of seed, household and time. `simulators/` speaks each partner's real format, `partner.py` makes the real
OAuth journey, `simulator.py` runs them all in one process. They use HTTP and the vocabulary, like anybody.
"""
