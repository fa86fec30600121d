"""When it is time: crons with time zones, windows, months, and moments as text. Pure; every moment is passed in."""
