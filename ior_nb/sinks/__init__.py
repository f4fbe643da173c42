"""Who counts the rows: the ring, the statistics, the trie, the recorder."""
