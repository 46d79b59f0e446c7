"""The kernels: integers and bytes in, integers and bytes out; no Python object, no lock, no I/O."""
