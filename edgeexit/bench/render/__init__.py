"""Reports as sentences, tables, pictures and pages. Reads results and computes none."""
