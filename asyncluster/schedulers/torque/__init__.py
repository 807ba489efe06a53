"""Torque 4 to 6, with Maui as its scheduler or without."""
