"""A module of somebody's that needs what is not installed."""

import nowhere.at_all

AGENT = nowhere
