"""Getting raw data: manifests of what was published, verified downloads, and the built-in sample."""
