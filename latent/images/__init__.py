"""Files of pictures. Pixels are float32 from -1 to 1, `(C, S, S)`: C is 1 for gray pictures and 3 for color."""
