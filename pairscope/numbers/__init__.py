"""The topics of analytics; `analytics.py` is their one face."""
