"""Examples to learn from and to be measured on: motion capture, procedural actions, virtual cameras, generated videos."""
