"""What a person asks for, each a frozen RunSpec: sensitivity, what-if, comparison, search, fine-tuning and the rest."""
