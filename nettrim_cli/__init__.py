"""The command ``nettrim``."""
