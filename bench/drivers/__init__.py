"""One adapter per system. Each module is imported only in that system's own environment."""
