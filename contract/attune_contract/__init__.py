"""What the operator and its pods agree on: models without I/O, importable by both sides and by nobody's accident.

Out of bounds here: network, files, Kubernetes, torch. import-linter holds that (pyproject.toml).
"""

VERSION = "v1alpha1"
"""Version of every document that crosses between operator and pod. A pod refuses a RunConfig of another version."""
