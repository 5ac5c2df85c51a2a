"""Examples to learn from and be measured on: motion capture, procedural actions, virtual cameras, generated videos."""
