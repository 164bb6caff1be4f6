"""Annotation servers: pictures and faces go out as suggestions, corrected faces come back."""
