"""What a person takes home: weights, exported programs, scripts and recipes, as bytes and text."""
