"""Images as files: the OCI image layout on disk, model layers, and how the two become one digest."""
