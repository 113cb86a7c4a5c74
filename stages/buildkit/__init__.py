"""BuildKit, spoken to through buildx: which builder there is, what goes into a build, and what comes out."""
