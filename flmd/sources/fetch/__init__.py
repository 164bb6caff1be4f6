"""Downloads: resumed, verified, recorded."""
