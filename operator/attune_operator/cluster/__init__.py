"""The only Kubernetes I/O of the operator: observe, apply, write. Nothing here decides."""
