"""The network of a server: made for one start, with a way to us and nobody else."""

from stages.servers.interface import bracketed
from stages.servers.site import Site

# Whoever asks is answered; but with an address of the engine's own, nothing comes back from anywhere else.
_NO_WAY_OUT = ("--opt", "com.docker.network.bridge.enable_ip_masquerade=false")


def network_options(site: Site, *ports: int) -> tuple[str, ...]:
    """Make a network for a server, and return the options of its container.

    Raises:
        StageFailed: the engine refuses the network, or does not let the job's container in.
    """
    address = bracketed(site.reach.address or "")
    published = tuple(word for port in ports for word in ("--publish", f"{address}::{port}/tcp"))
    network = ("--network", site.name)
    site.remove_at_the_end("network", site.name)
    if site.reach.job is None:
        site.engine.ask("network", "create", *site.label, *_NO_WAY_OUT, site.name)
        return (*network, *published)
    site.engine.ask("network", "create", *site.label, "--internal", site.name)
    _join(site, site.reach.job.network_holder)
    return network


def _join(site: Site, container: str) -> None:
    site.desk.on_exit(lambda: _leave(site, container))
    site.engine.ask("network", "connect", site.name, container)


def _leave(site: Site, container: str) -> None:
    site.engine.attempt("network", "disconnect", "--force", site.name, container)
