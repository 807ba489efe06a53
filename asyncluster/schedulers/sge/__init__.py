"""Grid Engine: Son of Grid Engine 8.1 and its relatives."""
