"""Telling other processes and listeners that a pod has changed."""
