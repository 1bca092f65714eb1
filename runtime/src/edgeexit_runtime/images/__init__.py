"""Images of any kind -> the tensor that the network was trained on."""
