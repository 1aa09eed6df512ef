"""What recording is made of: the ports that sources fill, the looking over of trades, the repair of gaps, the watch.

`ingest.py` is the face of it; the same modules stand below it so that no file is longer than can be read.
"""
