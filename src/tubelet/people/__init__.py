"""People in real footage: boxes, tracks over time, and body landmarks, from pretrained parts."""
