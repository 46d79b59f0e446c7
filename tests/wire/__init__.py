"""The data plane over real sockets: the installed `fastgw serve` between a raw client and a scriptable upstream."""
