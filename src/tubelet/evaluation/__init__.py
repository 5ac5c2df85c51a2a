"""From predictions of clips to numbers that can be trusted: predictions file, scores, comparison, pictures, page."""
