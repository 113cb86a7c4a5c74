"""How an edit becomes a commit on the branch that Argo CD or Flux watches."""
