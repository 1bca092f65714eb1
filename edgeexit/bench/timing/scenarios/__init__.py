"""MLPerf's scenarios for the edge: single stream, multi stream, offline and server."""
