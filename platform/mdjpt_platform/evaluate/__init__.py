"""Transfer of a frozen encoder to corpora that it never saw: features, read-outs, protocols, scores."""
