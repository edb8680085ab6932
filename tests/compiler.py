"""How far the compiler goes for the suite, most of whose time is the compiler's."""


def flags(level):
    """Of `XLA_FLAGS`, at a level of optimisation from 0 to 3, which is what users have."""
    return (
        f"--xla_backend_optimization_level={level} "
        "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters"
    )


SOME = {"xla_backend_optimization_level": 1}
"""For a program that runs longer than it takes to compile: up to eight times as fast as at
level 0."""

FULL = {"xla_backend_optimization_level": 3}
"""For what is said of the programs that users run."""
