"""What came of it: the finished trace, and what is made of its rows."""
