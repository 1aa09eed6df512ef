"""What README claims about speed, as ratios measured in one run."""
