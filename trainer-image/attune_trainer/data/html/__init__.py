"""The validation report as one page of HTML: no scripts, nothing loaded, in light and dark, on screen and on paper."""
