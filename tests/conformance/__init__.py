"""The same scenarios through Go and through Python; docs/conformance.md tells how."""
