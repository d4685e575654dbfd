"""Data, not code: ontology, activity kinds, contexts, shapes, factors, rules; and a thin loader."""
