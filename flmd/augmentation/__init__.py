"""A face store to crops at network size: one matrix, one resampling, landmarks carried along."""
