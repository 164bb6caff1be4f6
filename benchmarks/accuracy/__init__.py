"""Systems that ours are compared with, trained on the same faces and measured by the same code."""
