"""Pure functions, arrays in and numbers out: timeline, tracking, classification, calibration, intervals, scoring.

Each function names its source; its test names the outside truth it was checked against. Shares are 0 to 1, times are
seconds, and what cannot be measured (0 of 0) is NaN, never 0 or 1.
"""
