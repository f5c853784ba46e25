"""What is measured on a network: accuracy, latency, sensitivity."""
