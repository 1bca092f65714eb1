"""Images of any kind -> the network's input tensor."""
