"""What is published beside the weights: the model card and the manifest. Pure: from figures to documents."""
