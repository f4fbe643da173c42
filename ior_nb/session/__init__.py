"""What runs: from the call of `trace` to what a dashboard reads."""
