"""What happens to data between acting and learning."""

from jaxrl.data.shuffle import permutation

__all__ = ["permutation"]
