"""Looks into the files of a model without loading them: what each is by its content, and what it would do.

Every file is parsed by rules of our own that know what is allowed, and everything else is a finding: an
import that is not known to be harmless, a format's rule that is broken, and whatever could not be read to
its end.
Nothing is unpickled, imported or executed. Memory stays bounded whatever the size: files are read in pieces.
"""
