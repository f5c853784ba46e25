"""What is measured of a network: accuracy with its interval, latency, and on which device."""
