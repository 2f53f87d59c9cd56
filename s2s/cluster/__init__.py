"""Jobs that a Ray cluster shares: windows of an input go to workers, and come back in any order."""
