"""Looking into a model: which pixels decided, how far it sees, how far its gradients go."""
