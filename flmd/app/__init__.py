"""The web page: send a picture, look at the points. ``flmd app`` starts it."""
