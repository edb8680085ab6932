"""Optimisation that takes functions rather than arrays."""

from jaxrl.optim.trust_region import TrustRegionInfo, conjugate_gradient, trust_region_step

__all__ = ["TrustRegionInfo", "conjugate_gradient", "trust_region_step"]
