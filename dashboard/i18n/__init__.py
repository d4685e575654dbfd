"""The pages' words: one catalogue a language, the same keys in each; a missing key fails a test."""
