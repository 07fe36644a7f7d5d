"""What a cache does, one file an act. `Medha` is made of them."""
