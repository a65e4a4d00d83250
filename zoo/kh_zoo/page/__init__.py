"""The page of `kh page`: a server on this machine, and the processes that colour for it."""
