"""Why measured times differ from Eq. 5: traffic and MACs of parts, and the machine's peaks."""
