"""Model assistance: the CrashChat engine, predictions, selection, training and the model registry."""
