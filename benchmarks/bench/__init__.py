"""pyctd beside Go and its peers: the same work, in turns, on the same containerd. docs/performance.md tells how."""
