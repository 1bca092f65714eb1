"""What a bundle is on the disk: its folder, its manifest, and what each says of the other."""
