"""The siege, `make siege`: kills, damages and starves flmd, and counts what gave way."""
