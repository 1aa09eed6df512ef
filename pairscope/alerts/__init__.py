"""Alerts: rules on what the desk sees, judged in the process that records, delivered at least once, explained for ever.

rules.py       what a rule is, and when it fires: pure
expression.py  the words of a condition, parsed and never run as Python
metrics.py     the numbers that conditions are about, bar by bar
engine.py      judges every closed bar, with no browser open
preview.py     the same over what is stored: what a rule would have done
notify.py      carries what fired to people
"""
