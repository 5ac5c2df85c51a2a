"""One folder per method. They never import each other."""
