"""An API gateway that decides who is calling, how often they may call and whether they can pay."""

__version__ = "0.1.0"
