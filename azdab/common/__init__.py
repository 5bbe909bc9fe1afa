"""What every other room may use: errors, settings, limits, files, command lines, progress.

Nothing here imports JAX or another room, so that settings are known before JAX starts.
"""
