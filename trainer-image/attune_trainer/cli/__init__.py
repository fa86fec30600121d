"""The command `attune`, for people and CI: what the pods check, checked where the data is."""
