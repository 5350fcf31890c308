"""Every adapter of hdfm.bridge and hdfm.pipeline against the package that it is for.

    python benchmarks/bridge.py

Each check returns the largest difference between a number of ours and the same number of theirs.
A package that is not installed is left out, and said so. The result is kept with date, machine and
the versions of the packages; nbs/bridge.ipynb shows it, and tests/test_bridge.py does it again.
"""

import datetime
import json
import os
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch

import torch

from hdfm.bridge import FlowMatcher, KDenoiser, affine_path, needed, velocity_model
from hdfm.checkpoint import write_whole
from hdfm.core import dct
from hdfm.data import load_data
from hdfm.exact import GaussianPosterior
from hdfm.hub import FlowModel
from hdfm.path import HeatProbPath
from hdfm.pipeline import answered, asked_times, output_for
from hdfm.sampling import SOLVERS, time_grid
from machine import machine

RESULTS = Path(__file__).parent / "results"
CHECKS = []  # (package, what is compared, the difference that is allowed, function)
STRENGTHS = (0.0, 0.5, 1.0)


def check(package, what, allowed):
    """A decorator that enters a check."""

    def enter(function):
        CHECKS.append((package, what, allowed, function))
        return function

    return enter


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def exact(r, dtype=torch.float64, count=8, **options):
    """(path, predictor, noise) for Gaussian data with the spectrum of the digits."""
    path = HeatProbPath((8, 8), r, **options)
    modes = dct(load_data("digits").images.double())
    moments = (modes.mean((0, 1)).to(dtype), modes.var((0, 1)).to(dtype))
    like = torch.empty(count, 1, 8, 8, dtype=dtype)
    return path, GaussianPosterior(*moments, path), path.start(like, seeded(0))


def pairs():
    """(noise, images, times) of eight digits; nothing is clamped at these times."""
    images = load_data("digits").images[:8].double()
    noise = torch.randn(images.shape, generator=seeded(1), dtype=torch.float64)
    return noise, images, torch.linspace(0.1, 0.9, 8, dtype=torch.float64)


def apart(a, b):
    """The largest difference of two tensors."""
    return (a - b).abs().max().item()


@check("flow_matching", "points, velocities and six conversions, r = 0", 1e-12)
def conversions():
    x_0, x_1, t = pairs()
    theirs = needed("flow_matching.path", "flow_matching").CondOTProbPath()
    ours = affine_path(HeatProbPath((8, 8), 0))
    point = theirs.sample(x_0=x_0, x_1=x_1, t=t)
    own = ours.sample(x_0=x_0, x_1=x_1, t=t)
    found = [apart(getattr(point, name), getattr(own, name)) for name in ("x_t", "dx_t", "t")]
    given = dict(target=x_1, epsilon=x_0, velocity=point.dx_t)
    spread = t[:, None, None, None]
    for name, value in given.items():
        for other in given.keys() - {name}:
            convert = f"{name}_to_{other}"
            both = [getattr(way, convert)(value, point.x_t, spread) for way in (theirs, ours)]
            found.append(apart(*both))
    return max(found)


@check("flow_matching", "ODESolver (dopri5) and the exact flow, r = 0, 1/2, 1", 2e-5)
def exact_flow():
    ODESolver = needed("flow_matching.solver", "flow_matching").ODESolver
    times = torch.tensor([0, 0.95], dtype=torch.float64)
    found = []
    for r in STRENGTHS:
        path, oracle, z = exact(r)
        ended = ODESolver(velocity_model(oracle, path)).sample(
            z, step_size=None, method="dopri5", atol=1e-9, rtol=1e-9, time_grid=times
        )
        found.append(apart(ended, oracle.transport(z, 0.0, 0.95)))
    return max(found)


@check("flow_matching", "ODESolver (euler) and our euler, bundled digits", 1e-5)
@torch.no_grad()
def digits_by_euler():
    ODESolver = needed("flow_matching.solver", "flow_matching").ODESolver
    model = FlowModel.from_pretrained("digits")
    predict = model.predictor(torch.arange(10))
    z = model.path.start(torch.empty(10, 1, 8, 8), seeded(2))
    ts = time_grid(20)
    drawn = ODESolver(velocity_model(predict, model.path)).sample(
        z, step_size=None, method="euler", time_grid=torch.tensor(ts)
    )
    return apart(drawn, SOLVERS["euler"](predict, model.path, z, ts))


@check("torchcfm", "points and velocities of ConditionalFlowMatcher, r = 0", 1e-12)
def matcher():
    x_0, x_1, t = pairs()
    module = needed("torchcfm", "torchcfm")
    matchers = (module.ConditionalFlowMatcher(0.0), FlowMatcher(HeatProbPath((8, 8), 0)))
    (_, x_t, u_t), (_, own_x_t, own_u_t) = (
        each.sample_location_and_conditional_flow(x_0, x_1, t) for each in matchers
    )
    return max(apart(x_t, own_x_t), apart(u_t, own_u_t))


@check("torchcfm", "the same, drawing times and noise, sigma = 0.1", 1e-6)
def noisy_matcher():
    x_0, x_1, _ = pairs()
    module = needed("torchcfm", "torchcfm")
    found = []
    for each in (module.ConditionalFlowMatcher(0.1), FlowMatcher(HeatProbPath((8, 8), 0), 0.1)):
        torch.manual_seed(0)
        found.append(each.sample_location_and_conditional_flow(x_0, x_1, return_noise=True))
    return max(apart(a, b) for a, b in zip(*found))


def by_scheduler(scheduler, path, predict, z):
    """Where a scheduler of diffusers ends, whose steps are set."""
    for i, timestep in enumerate(scheduler.timesteps):
        t = 1 - scheduler.sigmas[i].item()
        output = output_for(scheduler, path, predict(z, t), z, t)
        z = scheduler.step(output, timestep, z).prev_sample
    return z


def their_times(scheduler):
    """Our times for the sigmas of a scheduler of diffusers, each once."""
    return sorted({1 - sigma for sigma in scheduler.sigmas.double().tolist()})


def ours_in_their_words(solver):
    """The largest difference between `HeatScheduler` and the solver, for three strengths."""
    from hdfm.pipeline import HeatScheduler

    found = []
    for r in STRENGTHS:
        path, oracle, z = exact(r)
        how = dict(solver=solver, last_time=0.9, prediction_type="sample")
        scheduler = HeatScheduler(path_options=path.options, **how)
        scheduler.set_timesteps(8)
        ended = by_scheduler(scheduler, path, oracle, z)
        own = SOLVERS[solver](oracle, path, z, time_grid(8, last_time=0.9))
        found.append(apart(ended, own))
    return max(found)


@check("diffusers", "HeatScheduler and every solver without noise, r = 0, 1/2, 1", 1e-9)
def schedulers():
    ours = [n for n, f in SOLVERS.items() if f.asks and not f.stochastic and n != "fitted"]
    return max(ours_in_their_words(name) for name in ours)


@check("diffusers", "HeatPipeline and FlowModel.sample, bundled digits and clothes", 1e-6)
def pipelines():
    from hdfm.pipeline import HeatPipeline

    found = []
    for name in ("digits", "fashion"):
        model = FlowModel.from_pretrained(name)
        pipe = HeatPipeline(model)
        pipe.set_progress_bar_config(disable=True)
        drawn = pipe(generator=seeded(3), num_inference_steps=4, output_type="pt").images
        own = model.sample(generator=seeded(3), steps=4)
        found.append(apart(drawn, (own + 1) / 2))
    return max(found)


def theirs_on_our_path(scheduler, solver):
    """The largest difference between a scheduler of theirs and our solver, for three strengths."""
    found = []
    for r in STRENGTHS:
        path, oracle, z = exact(r, torch.float32)
        scheduler.set_timesteps(20)
        ended = by_scheduler(scheduler, path, oracle, z)
        found.append(apart(ended, SOLVERS[solver](oracle, path, z, their_times(scheduler))))
    return max(found)


@check("diffusers", "FlowMatchEulerDiscreteScheduler and our euler, r = 0, 1/2, 1", 1e-5)
def flow_match_euler():
    scheduler = needed("diffusers", "diffusers").FlowMatchEulerDiscreteScheduler()
    return theirs_on_our_path(scheduler, "euler")


@check("diffusers", "FlowMatchHeunDiscreteScheduler and our heun, r = 0, 1/2, 1", 2e-5)
def flow_match_heun():
    scheduler = needed("diffusers", "diffusers").FlowMatchHeunDiscreteScheduler()
    return theirs_on_our_path(scheduler, "heun")


@check("diffusers", "DPMSolverMultistepScheduler, order 1, and our exponential, r = 0", 2e-5)
def dpm_solver():
    scheduler = needed("diffusers", "diffusers").DPMSolverMultistepScheduler(
        solver_order=1, prediction_type="flow_prediction", use_flow_sigmas=True
    )
    path, oracle, z = exact(0.0, torch.float32, t_eps=1e-4)
    scheduler.set_timesteps(20)
    ended = by_scheduler(scheduler, path, oracle, z)
    return apart(ended, SOLVERS["exponential"](oracle, path, z, their_times(scheduler)))


@check("k-diffusion", "sample_euler and our exponential, r = 0, noise 1 and 1/2", 1e-5)
def k_euler():
    sampling = needed("k_diffusion.sampling", "k-diffusion")
    found = []
    for scale in (1.0, 0.5):
        path, oracle, z = exact(0.0, noise_scale=scale)
        denoiser = KDenoiser(oracle, path)
        ts = time_grid(20, 1 / 81)
        sigmas = torch.tensor([denoiser.sigma(t) for t in ts], dtype=torch.float64)
        ended = sampling.sample_euler(denoiser, z / ts[0], sigmas, disable=True)
        found.append(apart(ended, SOLVERS["exponential"](oracle, path, z, ts)))
    return max(found)


@check("k-diffusion", "sample_dpmpp_2m, 200 steps, and the exact flow, r = 0", 5e-3)
def k_dpm_solver():
    sampling = needed("k_diffusion.sampling", "k-diffusion")
    path, oracle, z = exact(0.0)
    denoiser = KDenoiser(oracle, path)
    sigmas = sampling.get_sigmas_karras(200, 0.002, 80.0).double()
    start = denoiser.time(80.0)
    ended = sampling.sample_dpmpp_2m(denoiser, z / start, sigmas, disable=True)
    return apart(ended, oracle.transport(z, start, 1.0))


def share_of_scheduler(steps, count=16):
    """The time of a scheduler's own arithmetic as a share of the network's, bundled clothes."""
    model = FlowModel.from_pretrained("fashion")
    predict = model.predictor(torch.arange(count) % 10)
    z = start = model.path.start(torch.empty(count, 1, 28, 28), seeded(0))
    ts = time_grid(steps)
    spent = dict(network=0.0, scheduler=0.0)
    answers = []
    with torch.no_grad():
        for t in asked_times("exponential_2m", model.path, ts):
            begun = time.perf_counter()
            answers.append(predict(z, t))
            asked = time.perf_counter()
            z, _ = answered("exponential_2m", model.path, start, ts, answers)
            spent["network"] += asked - begun
            spent["scheduler"] += time.perf_counter() - asked
    return dict(steps=steps, images=count, share=round(spent["scheduler"] / spent["network"], 3))


def main():
    rows = []
    for package, what, allowed, function in CHECKS:
        try:
            row = dict(package=package, version=version(package), what=what, allowed=allowed)
            rows.append(row | dict(difference=function()))
            print(f"{package:14} {rows[-1]['difference']:.1e}  {what}", flush=True)
        except (PackageNotFoundError, ImportError) as error:
            print(f"{package:14} left out: {error}")
    date = datetime.date.today().isoformat()
    cost = [share_of_scheduler(steps) for steps in (10, 50)]
    result = dict(date=date, machine=machine(), rows=rows, cost=cost)
    print(result["cost"])
    path = RESULTS / f"{date}-bridge.json"
    write_whole(path, (json.dumps(result, indent=1) + "\n").encode())
    print(path)


if __name__ == "__main__":
    main()
