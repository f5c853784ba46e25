"""Long work: a frozen spec, a generator of frozen events, a queue and a store that outlive the server."""
