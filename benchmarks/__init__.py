"""Programs that measure the pipeline beside other tools, in the same run, on the same bytes."""
