"""What is known of each data set: address, licence, splits, subjects."""
