"""Sources of trades, one file each."""
