"""Models, data and collections on disk: versioned manifests and plain arrays, no pickles."""
