"""What SqliteStore stands on: errors, schema, lock, writer thread, readers, upkeep of bars, cache.

store.py is the one face of it; nothing else imports from here.
"""
