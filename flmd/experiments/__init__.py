"""Experiments and trust: DVC, git, recipes, records, gates, verification."""
