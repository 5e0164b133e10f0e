"""Fashion-MNIST (arXiv 1708.07747): the dataset, a subset of its images (LICENSE), and the script that chose them."""
