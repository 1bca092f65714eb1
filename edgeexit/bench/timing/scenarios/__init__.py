"""MLPerf's scenarios for the edge: streams of queries, all images at once, and arrivals."""
