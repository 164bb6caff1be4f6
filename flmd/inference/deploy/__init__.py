"""Models outside torch: ONNX and TorchScript files, checked when they are made; int8; ONNX Runtime.

A deployed file is whole: crops of levels 0-255 go in, points in pixels of the crop come out. The
normalisation of pixels and points is part of the graph, where nobody can forget it or get it wrong; what it
is, and how a face is cut out, stands in the file's metadata (:mod:`flmd.inference.deploy.metadata`).
"""
