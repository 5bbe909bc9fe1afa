"""The page in the browser: its host, and its files in ``static/``.

May import engine and the rooms below. Needs the extra ``web``.
"""
