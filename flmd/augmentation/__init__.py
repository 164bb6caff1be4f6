"""A face store to crops at network size: one matrix, one resampling, landmarks carried along."""

from flmd.core import openmp

openmp.wait_briefly()
