"""What is published beside the weights, and the proof that the weights are those that were evaluated."""
