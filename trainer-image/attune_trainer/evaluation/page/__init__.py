"""The evaluation report as one HTML page, for people: from a plain document, with no script and nothing to fetch.

`document` has what it shows, `render` makes it. Pure code, without torch.
"""
