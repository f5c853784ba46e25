"""What a criterion reads of a network: sites, activations, gradients, samples, collected in one pass."""
