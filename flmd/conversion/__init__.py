"""Annotations and pictures to a face store, every face kept or counted with its reason."""
