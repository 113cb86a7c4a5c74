"""Whether a commit has become what runs: Argo CD, Flux and Kubernetes are asked until they say so."""
