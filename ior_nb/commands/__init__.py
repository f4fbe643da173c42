"""What users type: the magics, their verbs, the command line."""
