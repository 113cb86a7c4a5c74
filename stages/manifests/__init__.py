"""What is edited: forms of Kubernetes manifests, and the smallest possible change of their text."""
