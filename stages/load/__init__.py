"""The load engine: when requests are due, how they are sent, and what came of them.

It knows no protocol and no container: whatever answers a payload can be put under load.
"""
