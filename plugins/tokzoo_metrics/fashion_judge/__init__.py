"""The judge of Fashion-MNIST: a small classifier, its weights, its reference statistics, and the script of both."""
