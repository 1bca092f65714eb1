"""What a report says: sentences, tables, pictures and pages. It reads results and computes none."""
