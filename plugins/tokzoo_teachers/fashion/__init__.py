"""The teacher of Fashion-MNIST: its network, its weights, and the script that trained it without labels."""
