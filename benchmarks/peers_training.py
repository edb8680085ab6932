"""Released peers of the training loops, rejax and SBX, each in a virtual environment of its own.

python -m benchmarks.peers_training --setup DIR: makes DIR/rejax, DIR/sbx and DIR/flashbax, in which
`benchmarks.scanned_dqn` runs.
python -m benchmarks.peers_training --run rejax --setting purejaxrl-4 [--setup DIR]: trains that
peer's algorithm, in an environment made on demand, and prints one line of JSON.

The environments get this process's Python and its version of jax. What the peers cannot express:
both clip the gradients of actor and critic apart and have initial weights of their own. rejax clips
each entry of a gradient, not its norm. SBX does not clip the value, steps gymnasium's environments
one by one, and has no MinAtar. "timed" in the JSON says how compiling is kept out of the speed.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import off_policy

ROOT = Path(__file__).parents[1]
PINS = {
    # rejax reads the five-tuple that `step` returned before gymnax 1.0.
    "rejax": ["rejax==0.1.3", "gymnax==0.0.9"],
    "sbx": ["torch==2.13.0", "stable-baselines3==2.9.2", "sbx-rl==0.28.0", "gymnasium==1.4.0"],
    "flashbax": ["flashbax==0.1.3", "gymnax==1.0.1", "six"],  # `benchmarks.replay` runs it too
}
SBX_STEPS = 100_000  # at most, for it is slow
ROUNDS = 3
LAST_STEPS = 20_000  # whose episodes are a score


class Setting(NamedTuple):
    """PPO's hyper-parameters; two hidden layers of 64 for the actor, and two for the critic."""

    env: str = "CartPole-v1"
    total_steps: int = 500_000
    num_envs: int = 4
    num_steps: int = 128
    num_epochs: int = 4
    num_minibatches: int = 4
    activation: str = "tanh"
    learning_rate: float = 2.5e-4
    anneal: bool = True
    gamma: float = 0.99
    lam: float = 0.95
    clip: float = 0.2
    entropy: float = 0.01
    value: float = 0.5
    grad_norm: float = 0.5

    @property
    def batch(self) -> int:
        """Environment steps between updates."""
        return self.num_envs * self.num_steps


SETTINGS: dict[str, Setting | off_policy.Setting] = {
    **off_policy.SETTINGS,
    "purejaxrl-4": Setting(),
    "purejaxrl-64": Setting(num_envs=64, num_minibatches=8, total_steps=1_000_000),
    "purejaxrl-breakout": Setting(
        env="Breakout-MinAtar",
        num_envs=64,
        num_minibatches=8,
        activation="relu",
        learning_rate=5e-3,
    ),
    "pendulum": Setting(
        env="Pendulum-v1",
        total_steps=200_000,
        num_envs=16,
        num_steps=64,
        num_epochs=10,
        num_minibatches=16,
        learning_rate=1e-3,
        anneal=False,
        gamma=0.9,
        entropy=0.0,
    ),
}


def setup(peer: str, directory: Path) -> Path:
    """The interpreter of the peer's environment, which is made unless it is there already."""
    pins = [f"jax=={metadata.version('jax')}", *PINS[peer]]
    home = directory.resolve() / peer
    python, ready = home / "bin" / "python", home / "pins.json"
    if not ready.exists() or json.loads(ready.read_text()) != pins:
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        install = [python, "-m", "pip", "install", "--quiet", *pins]
        subprocess.run(install, check=True, stdout=sys.stderr)
        ready.write_text(json.dumps(pins))
    return python


def run(peer: str, setting: str, directory: Path) -> dict[str, Any]:
    """Train the peer in its own environment: what its line of JSON says."""
    if peer == "flashbax" and getattr(SETTINGS[setting], "algorithm", "") != "dqn":
        raise SystemExit(f"flashbax cannot run {setting}: it is there for DQN alone")
    if peer == "sbx" and "MinAtar" in SETTINGS[setting].env:
        raise SystemExit(f"sbx cannot run {setting}: it has no {SETTINGS[setting].env}")
    here = [setup(peer, directory), "-m", "benchmarks.peers_training"]
    command = [*here, "--train", peer, "--setting", setting]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def in_rounds(
    program: Callable[[Any], Any], score: Callable[[Any, Any], tuple[int, float]]
) -> dict[str, Any]:
    """A whole run as one function of a key, which jax lets us compile before we time it.

    Args:
      score: what a run came to, its key -> the steps it took, and a return.
    """
    jax = import_module("jax")
    keys = jax.random.split(jax.random.PRNGKey(0), ROUNDS)
    start = time.perf_counter()
    train = jax.jit(program).lower(keys[0]).compile()
    compiled = time.perf_counter()
    rates, returns, steps = [], [], 0
    for key in keys:
        start_round = time.perf_counter()
        end = jax.block_until_ready(train(key))
        seconds = time.perf_counter() - start_round
        steps, score_of_round = score(end, key)
        rates.append(steps / seconds)
        returns.append(score_of_round)
    return {
        "steps_per_second": max(rates),
        "rounds": rates,
        "compile_seconds": compiled - start,
        "return": sum(returns) / ROUNDS,
        "steps": steps,
        "timed": "compiled ahead; the best of the rounds; no evaluation",
    }


def train_rejax(setting: Setting | off_policy.Setting) -> dict[str, Any]:
    """rejax's whole run."""
    algo = _rejax_ppo(setting) if isinstance(setting, Setting) else off_policy.rejax(setting)
    silent = algo.replace(eval_callback=lambda *_: ())  # so that we time training alone

    def score(state: Any, key: Any) -> tuple[int, float]:
        return int(state.global_step), float(algo.eval_callback(algo, state, key)[1].mean())

    figures = in_rounds(lambda key: silent.train(key)[0], score)
    return figures | {"return_of": f"128 sampled episodes after each of {ROUNDS} runs"}


def train_scanned(setting: off_policy.Setting) -> dict[str, Any]:
    """DQN in one scan."""

    def score(end: Any, key: Any) -> tuple[int, float]:
        total, done = end
        late = done.at[: -LAST_STEPS // setting.num_envs].set(False)
        return done.size, float(total.mean(where=late))

    figures = in_rounds(import_module("benchmarks.scanned_dqn").program(setting), score)
    shown = f"episodes of the last {LAST_STEPS} steps of each of {ROUNDS} runs"
    return figures | {"return_of": shown}


def _rejax_ppo(setting: Setting) -> Any:
    optax, algos = import_module("optax"), import_module("rejax.algos")
    rate = setting.learning_rate
    if setting.anneal:
        num_rollouts = math.ceil(setting.total_steps / setting.batch)
        num_updates = num_rollouts * setting.num_epochs * setting.num_minibatches
        rate = optax.linear_schedule(rate, 0.0, num_updates)
    return algos.PPO.create(
        env=setting.env,
        total_timesteps=setting.total_steps,
        eval_freq=setting.total_steps,
        skip_initial_evaluation=True,
        agent_kwargs={"activation": setting.activation, "hidden_layer_sizes": (64, 64)},
        num_envs=setting.num_envs,
        num_steps=setting.num_steps,
        num_epochs=setting.num_epochs,
        num_minibatches=setting.num_minibatches,
        learning_rate=rate,
        gamma=setting.gamma,
        gae_lambda=setting.lam,
        clip_eps=setting.clip,
        ent_coef=setting.entropy,
        vf_coef=setting.value,
        max_grad_norm=setting.grad_norm,
    )


def train_sbx(setting: Setting | off_policy.Setting) -> dict[str, Any]:
    """A Python loop, whose first rollout or gradient steps compile all there is to compile."""
    if isinstance(setting, Setting):
        model, unit = _sbx_ppo(setting), setting.batch
    else:
        model, unit = off_policy.sbx(setting), off_policy.first_steps(setting)
    start = time.perf_counter()
    model.learn(unit)
    compiled, first = time.perf_counter(), model.num_timesteps
    # Whole rollouts alone: past the last step the annealed learning rate is negative.
    num_steps = min(setting.total_steps, SBX_STEPS)
    num_steps = num_steps // unit * unit if isinstance(setting, Setting) else num_steps - first
    model.learn(num_steps, reset_num_timesteps=isinstance(setting, Setting))
    seconds = time.perf_counter() - compiled
    num_steps = model.num_timesteps - (0 if isinstance(setting, Setting) else first)
    returns = [episode["r"] for episode in model.ep_info_buffer]
    return {
        "steps_per_second": num_steps / seconds,
        "rounds": [num_steps / seconds],
        "compile_seconds": compiled - start,
        "return": sum(returns) / len(returns),
        "return_of": f"the last {len(returns)} episodes of training",
        "steps": model.num_timesteps,
        "timed": "after the first updates, which compile; one round",
    }


def _sbx_ppo(setting: Setting) -> Any:
    nn, sbx = import_module("flax.linen"), import_module("sbx")
    env_util = import_module("stable_baselines3.common.env_util")
    rate = setting.learning_rate
    return sbx.PPO(
        "MlpPolicy",
        env_util.make_vec_env(setting.env, n_envs=setting.num_envs, seed=0),
        learning_rate=(lambda remaining: rate * remaining) if setting.anneal else rate,
        n_steps=setting.num_steps,
        batch_size=setting.batch // setting.num_minibatches,
        n_epochs=setting.num_epochs,
        gamma=setting.gamma,
        gae_lambda=setting.lam,
        clip_range=setting.clip,
        ent_coef=setting.entropy,
        vf_coef=setting.value / 2,  # it takes the mean square where others take half of it
        max_grad_norm=setting.grad_norm,
        policy_kwargs={
            "net_arch": [64, 64],
            "activation_fn": getattr(nn, setting.activation),
            "ortho_init": True,
        },
        seed=0,
    )


TRAIN = {"rejax": train_rejax, "sbx": train_sbx, "flashbax": train_scanned}


def train(peer: str, setting: str) -> dict[str, Any]:
    """Train the peer in this process, which must be one of its own environment."""
    names = ["jax", "flax", *(pin.split("==")[0] for pin in PINS[peer])]
    versions = {"python": sys.version.split()[0]} | {n: metadata.version(n) for n in names}
    result = TRAIN[peer](SETTINGS[setting])
    return {"peer": peer, "setting": setting, **result, "versions": versions}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the released peers.")
    parser.add_argument("--setup", type=Path, default=Path("build/peers"), metavar="DIR")
    parser.add_argument("--run", choices=TRAIN, help="train this peer, in its environment")
    parser.add_argument("--train", choices=TRAIN, help=argparse.SUPPRESS)  # what --run calls
    parser.add_argument("--setting", choices=SETTINGS, default="purejaxrl-4")
    arguments = parser.parse_args()
    if arguments.train:
        print(json.dumps(train(arguments.train, arguments.setting)))
    elif arguments.run:
        print(json.dumps(run(arguments.run, arguments.setting, arguments.setup)))
    else:
        for peer in TRAIN:
            print(setup(peer, arguments.setup))


if __name__ == "__main__":
    main()
