"""Benchmarks: pyctd, Go and their peers do the same work, in turns, on one containerd. See docs/performance.md."""
