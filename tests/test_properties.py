"""Whatever is put in: either what the mathematics promises comes out, or one clear line.

Each public function of the theory modules meets random shapes, dtypes and values (NaN, infinities,
huge ones, tensors that are empty, strided, differentiable, or on the device `meta`).
`HDFM_EXAMPLES` says how many examples there are altogether: about 1,000 if it is not set. The
count and the longest call are printed when all tests are done.
"""

import functools
import math
import time

import pytest
import torch
from conftest import EXAMPLES, longest, tally
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hdfm import (baselines, checks, coloured, core, exact, guidance, metrics, multistep, objective,
                  path, prior, process, pyramid, restore, sampling, solver, spectra, times, vit)

MODULES = (checks, core, prior, process, times, path, exact, solver, guidance, sampling, multistep,
           spectra, objective, metrics, baselines, coloured, pyramid)
TESTS = 25  # among which they are shared
SECONDS = 5  # the longest that one call may take
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
WHOLE = (torch.int64, torch.uint8)
HUGE = {torch.float16: 1e3}  # elsewhere 1e15, of which a square is no overflow
CALLED = set()
COUNT = tally("theory, calls of public functions")


def many(*strategies, **named):
    """`given`, with a share of the examples, always the same ones."""
    def decorate(f):
        each = max(1, -(-EXAMPLES // TESTS))
        how = settings(max_examples=each, derandomize=True, deadline=None, database=None,
                       suppress_health_check=list(HealthCheck))
        return how(given(*strategies, **named)(noted(f)))
    return decorate


def noted(f):
    """A test whose failures are counted."""
    @functools.wraps(f)
    def run(*args, **named):
        try:
            return f(*args, **named)
        except Exception:
            COUNT["unrefused"] += 1
            raise
    return run


def tensors_in(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, path.PathSample):
        value = [value.x_t, value.dx_t]
    if isinstance(value, (list, tuple)):
        return [x for part in value for x in tensors_in(part)]
    return [torch.tensor(value)] if isinstance(value, float) else []


def is_finite(values):
    return all(bool(x.detach().isfinite().all()) for x in tensors_in(values) if not x.is_meta)


def call(f, *args, finite=True, **named):
    """The result of `f`, or None where it refuses in one line; anything else is a failure."""
    CALLED.add(getattr(f, "__qualname__", type(f).__name__).split(".")[0])
    begin = time.perf_counter()
    try:
        found = f(*args, **named)
    except (ValueError, TypeError) as refusal:
        COUNT["refused"] += 1
        text = str(refusal)
        assert text and "\n" not in text and len(text) < 400, text
        found = None
    seconds = time.perf_counter() - begin
    COUNT["cases"] += 1
    longest(COUNT, seconds, getattr(f, "__qualname__", type(f).__name__))
    assert seconds < SECONDS, f"{f} took {seconds:.1f} s"
    if finite and is_finite(args) and is_finite(named):
        for x in tensors_in(found):
            assert x.is_meta or not x.detach().isnan().any(), "NaN from finite input"
    return found


def near(a, b, scale=1.0):
    """Whether two tensors are equal but for the rounding of their type, relative to the larger."""
    if a.is_meta or b.is_meta or not a.numel():
        return a.shape == b.shape
    largest = float(max(a.detach().double().abs().max(), b.detach().double().abs().max(), 1e-30))
    gap = float((a.detach().double() - b.detach().double()).abs().max())
    return gap <= 300 * scale * torch.finfo(a.dtype).eps * largest


KINDS = ("plain", "plain", "plain", "strided", "grad", "huge", "tiny", "nan", "inf", "meta")


def make(shape, dtype=torch.float64, kind="plain", seed=0):
    """A tensor with those traits."""
    g = torch.Generator().manual_seed(seed)
    if dtype in WHOLE:
        return torch.randint(0, 255, shape, generator=g, dtype=dtype)
    x = torch.randn(shape, generator=g, dtype=torch.float64)
    if kind == "strided" and x.ndim > 1:
        x = torch.randn(shape[::-1], generator=g, dtype=torch.float64).permute(
            *reversed(range(x.ndim)))
    x = (x * {"huge": HUGE.get(dtype, 1e15), "tiny": 1e-7}.get(kind, 1.0)).to(dtype)
    if kind in ("nan", "inf") and x.numel():
        x.view(-1)[0] = float(kind)
    if kind == "meta":
        x = x.to("meta")
    return x.requires_grad_() if kind == "grad" else x


grids = st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple)
squares = st.tuples(st.integers(1, 9), st.integers(1, 9))
seeds = st.integers(0, 10**6)
dtypes = st.sampled_from(DTYPES + WHOLE[:1])
kinds = st.sampled_from(KINDS)
batches = st.sampled_from([(), (1,), (2,), (3, 1), (2, 3), (0, 1)])
good_times = st.floats(0, 1)
odd_numbers = st.sampled_from(
    [math.nan, math.inf, -math.inf, 1e300, -1.0, 0, -0.5, 1.5, True, 10**60])
numbers = st.one_of(st.floats(0, 3), odd_numbers, st.sampled_from(["0.5", "much", None]))
any_times = st.one_of(good_times, good_times, st.sampled_from([0.0, 1.0, 1e-30]), odd_numbers)
shapes = st.one_of(grids, st.integers(-2, 40), st.sampled_from(
    ["88", "8", (8.7, 8.2), (), (0,), (4, -1), (1, 2, 3, 4), None, 8.0, (True, 2), (10**9, 10**9),
     [3, 4], torch.Size([2, 3]), math.nan]))


@st.composite
def images(draw, grid=None, batch=batches, kinds=kinds, dtypes=dtypes):
    """A grid and images on it."""
    shape = draw(grids) if grid is None else grid
    return shape, make((*draw(batch), *shape), draw(dtypes), draw(kinds), draw(seeds))


@st.composite
def times_for(draw, x):
    """A number, a vector that fits or not, or a tensor on another device."""
    n = len(x) if x.ndim else 1
    kind = draw(st.sampled_from(["number", "number", "vector", "vector", "long", "odd", "meta"]))
    t = torch.rand(n + (kind == "long"), generator=torch.Generator().manual_seed(draw(seeds)))
    if kind == "odd" and n:
        t[0] = draw(st.sampled_from([math.nan, -0.1, 1.1, math.inf]))
    return draw(any_times) if kind == "number" else t.to("meta") if kind == "meta" else t


def like(found, x):
    return found.shape == x.shape and found.dtype == x.dtype and found.device == x.device


# core and checks


@many(images(), st.integers(-1, 4), seeds)
def test_the_transform_is_an_isometry(case, dims, seed):
    _, x = case
    X = call(core.dct, x, dims)
    back = None if X is None else call(core.idct, X, dims)
    if back is None:
        return
    assert like(X, x) and like(back, x)
    if is_finite(x) and not x.is_meta:
        length = x.double().norm()
        assert near(back, x, 4)
        assert abs(X.double().norm() - length) <= 50 * torch.finfo(x.dtype).eps * length
        y = make(x.shape, x.dtype, "plain", seed)
        assert near(core.dct(x.double() + 2 * y.double(), dims),
                    core.dct(x.double(), dims) + 2 * core.dct(y.double(), dims))


@many(shapes, st.sampled_from(["spectral", "finite_difference", "cubic", "", None]),
      st.sampled_from([None, torch.float32, torch.float16, torch.int64]), numbers)
def test_grids_and_eigenvalues(shape, spectrum, dtype, r):
    grid = call(core.check_grid, shape, spectrum)
    if grid is not None and math.prod(grid) < 10**6:
        lam = call(core.laplacian_eigenvalues, shape, spectrum, dtype)
        if lam is not None:
            assert lam.shape == grid and (lam >= 0).all() and lam.flatten()[0] == 0
            assert (lam.flatten()[1:] > 0).all()
    op = call(core.HeatOperator, shape, r, spectrum)
    assert op is None or (op.shape == grid and 0 <= op.blur_strength < math.inf)
    assert grid is not None or op is None


@many(images(), st.data(), st.floats(0, 50))
def test_heat(case, data, r):
    grid, x = case
    op = core.HeatOperator(grid, r)
    t = data.draw(times_for(x))
    u = call(op, x, t)
    pair = call(op.with_laplacian, x, t)
    assert (u is None) == (pair is None)
    if u is None:
        return
    assert like(u, x) and like(pair[1], x)
    if isinstance(t, torch.Tensor):
        assert x.ndim > len(grid), "a vector of times without a batch"
    if x.is_meta or not is_finite(x) or not x.numel():
        return
    length = x.double().norm()
    assert u.double().norm() <= length * (1 + 50 * torch.finfo(x.dtype).eps)
    axes = tuple(range(-len(grid), 0))
    scale = x.double().abs().amax().item() + 1e-30
    gap = (u.double().mean(axes) - x.double().mean(axes)).abs().max().item()
    assert gap < 100 * torch.finfo(x.dtype).eps * max(scale, 1e-5)    # the mean is kept
    s = data.draw(st.floats(0.01, 1))
    y = x.detach().double()
    both = op.decay(y, t) * op.decay(y, s)
    product = torch.as_tensor(t, dtype=torch.float64) * s
    if (product > 1e-300).all():                                       # no time that rounds to 0
        assert torch.allclose(both, op.decay(y, product), atol=1e-9)   # a semigroup
    assert ((both >= 0) & (both <= 1)).all()
    kept = op.eigenvalues(x).clone()
    op.eigenvalues(x).zero_()
    assert torch.equal(op.eigenvalues(x), kept)


@many(images(), st.data(), st.sampled_from([0, 1, 2]))
def test_times_are_spread(case, data, axes):
    _, x = case
    t = data.draw(times_for(x))
    found = call(core.expand_time, t, x, axes, finite=False)
    call(checks.check_time, t)
    call(checks.check_time, t, 0.1, True)
    if x.is_floating_point():
        call(core.spread_time, t, x, axes)
    if found is not None and not found.is_meta:
        assert ((found >= 0) & (found <= 1)).all()
        assert torch.broadcast_shapes(found.shape, x.shape) == x.shape


@many(images(), images(), numbers)
def test_checks(one, two, number):
    x = one[1]
    y = two[1]
    floating = x.is_floating_point()
    call(checks.check_floating, x)
    call(checks.same_shape, x, y, "x", "y")
    call(checks.check_values, x, "x")
    call(checks.check_images, x[None, None])
    other = y if x.shape != y.shape else x[None]
    with pytest.raises(ValueError if floating and other.is_floating_point() else TypeError):
        checks.same_shape(x, other, "x", "y")
    found = call(checks.check_number, "r", number, 0, 1, "give a number from 0 to 1")
    assert found is None or 0 <= found <= 1
    with core.full_precision(x):
        assert x.is_meta or not torch.is_autocast_enabled("cpu")


@many(images(batch=st.sampled_from([(2, 1), (3, 3), (1, 1), (0, 1), (5, 1)])), images(), numbers)
def test_beginnings(case, other, scale):
    grid, x = case
    white = call(prior.white_noise, x, torch.Generator().manual_seed(0))
    assert white is None or like(white, x)
    noise = call(prior.WhiteNoise, scale)
    if noise is not None:
        call(noise.sample, x)
    sums = call(prior.moments, x)
    call(prior.sum_of_moments, [sums, call(prior.moments, other[1]) if other[1].ndim else sums])
    found = call(prior.mean_and_deviation, sums)
    if found is not None:
        assert near(found[0], x.double().mean(0)) and (found[1] >= 0).all()
    for one in (prior.BlurredGaussian(core.HeatOperator(grid), lambda x: x),
                call(coloured.ModeNoise, core.HeatOperator(grid), scale, 1.0)):
        if one is None:
            continue
        call(one.sample, x)
        if call(one.fit, [x, x]) is not None:
            drawn = call(one.sample, x)
            assert drawn is None or like(drawn, x)
            call(one.sample, other[1])
            assert set(one.load(one.state()).state()) == set(one.state())


# process and path


OPTIONS = dict(blur_strength=numbers, noise_scale=numbers, t_eps=numbers, t_min=numbers,
               laplacian_coefficient=numbers, levels=numbers, blur_max=numbers, min_gain=numbers,
               log_snr=numbers, scales=numbers, order=numbers, sampling_noise=numbers)


@many(st.sampled_from([*path.PATHS, "zzz", ""]), shapes, st.data())
def test_paths_are_made_or_refused(name, shape, data):
    known = call(process.path_options, name)
    options = {}
    for option in known or ():
        if option in OPTIONS and data.draw(st.booleans()):
            options[option] = data.draw(OPTIONS[option])
    if shape is not None and data.draw(st.booleans()):
        shape = (8, 8)
    made = call(process.make_path, name, shape, **options)
    call(process.make_path, name, shape, colour=1)
    if made is None:
        return
    assert repr(made) and all(
        value is None or not isinstance(value, float) or math.isfinite(value)
        for value in made.options.values())
    for prediction in ("x", "eps", "v", "zzz"):
        assert made.offers(prediction) is not None
        call(made.check_pair, prediction, "v")
        assert isinstance(made.well_posed(prediction), bool)
        call(solver.check_solver, "euler", made, prediction)
        assert set(call(solver.solvers_for, made, prediction)) <= set(solver.SOLVERS)


@st.composite
def paths(draw, grid=None):
    """A path of any kind, with sensible options, fitted where it has to be."""
    shape = draw(st.sampled_from([(4, 4), (8, 4), (2, 6)])) if grid is None else grid
    name = draw(st.sampled_from([*path.PATHS]))
    options = {}
    if name in ("heat", "blur"):
        options["blur_strength"] = draw(st.floats(0.01, 4))
    if name == "ihdm":
        options = dict(levels=10, blur_max=3.0)
    if name == "coloured":
        options["order"] = draw(st.floats(-1, 2))
    made = process.make_path(name, shape, **options)
    return made.fit(make((9, 1, *shape), torch.float64, seed=draw(seeds)))


@many(st.sampled_from([(4, 4), (8, 4), (2, 6), (3, 4), (4,)]), st.integers(-1, 4), st.data())
def test_a_pyramid(grid, scales, data):
    _, x = data.draw(images(grid, st.sampled_from([(2, 1), (1, 3), (2,), (0, 1), ()])))
    call(pyramid.down, x)
    call(pyramid.up, x)
    call(pyramid.pyramid_loss, x, scales)
    call(pyramid.block_covariance, 0.5, 0.3, 0.4)
    parts = call(pyramid.split_scales, x, scales)
    if parts is None or not is_finite((x,)):
        return
    again = call(pyramid.join_scales, parts)
    assert like(again, x) and near(again, x, 8)


@many(paths(), st.data())
def test_a_path_and_its_conversions(way, data):
    grid = way.operator.shape
    _, x = data.draw(images(grid, st.sampled_from([(2, 1), (1, 3), (2,), (0, 1), ()])))
    _, e = data.draw(images(grid, st.sampled_from([tuple(x.shape[:-2])] * 3 + [(3, 1)]),
                            dtypes=st.sampled_from([x.dtype] * 4 + [torch.float32])))
    t = data.draw(times_for(x))
    z = call(way.interpolate, e, x, t)
    point = call(way.sample, e, x, t)
    call(way.noise, x)
    call(way.start, x)
    if z is not None and x.dtype == e.dtype and not x.is_meta and is_finite((x, e)):
        assert like(z, x) and near(z, point.x_t, 4)
    if not isinstance(way, path.ProbPath) or z is None or z.dtype != x.dtype:
        return
    weight = call(way.weight, x, t)
    assert weight is None or weight.is_meta or (weight >= -1e-4 * weight.abs().max()).all() \
        if weight is None or weight.numel() else True
    velocity = call(way.target_to_velocity, x, z, t)
    assert velocity is None or like(velocity, x)
    for name in ("target_to_epsilon", "velocity_to_target", "epsilon_to_target",
                 "epsilon_to_velocity", "velocity_to_epsilon"):
        found = call(getattr(way, name), x, z, t)
        assert found is None or like(found, x)
    for prediction in ("x", "eps", "v", "zzz"):
        call(way.to_target, prediction, x, z, t)
        call(way.error_gain, prediction, "v", x, t)
    call(path.velocity_loss, way, x, e, t)


@many(st.floats(0, 0.3), st.floats(0.2, 0.9), seeds, st.sampled_from([torch.float64]))
def test_conversions_invert_each_other(r, t, seed, dtype):
    way = path.HeatProbPath((3, 4), r)
    x, e = make((2, 2, 1, 3, 4), dtype, seed=seed)
    point = call(way.sample, e, x, t)
    h = 1e-6
    slope = (way.interpolate(e, x, t + h) - way.interpolate(e, x, t - h)) / (2 * h)
    assert torch.allclose(point.dx_t, slope, atol=1e-5)
    z = point.x_t
    assert torch.allclose(way.target_to_velocity(x, z, t), point.dx_t, atol=1e-8)
    assert torch.allclose(way.velocity_to_target(point.dx_t, z, t), x, atol=1e-5)
    assert torch.allclose(way.epsilon_to_velocity(e, z, t), point.dx_t, atol=1e-8)
    assert torch.allclose(way.target_to_epsilon(x, z, t), e, atol=1e-8)
    loss = path.velocity_loss(way, x, e, t)
    long_way = (way.target_to_velocity(x, z, t) - way.target_to_velocity(e, z, t)).square().mean()
    assert torch.allclose(loss, long_way)


# times


@many(numbers, numbers, st.sampled_from(["uniform", "logit_normal", "visible", "zzz", ""]), seeds)
def test_times_are_drawn(mean, std, name, seed):
    variance = make((4, 4), torch.float64, seed=seed).square()
    made = call(times.make_times, name, mean, std, path.HeatProbPath((4, 4)), variance)
    if made is None:
        return
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    density = call(made.density, t)
    share = call(made.cdf, torch.linspace(-0.5, 1.5, 21, dtype=torch.float64).clamp(0, 1))
    assert (density >= 0).all() and (share.diff() >= -1e-9).all()
    assert ((share > -1e-9) & (share < 1 + 1e-9)).all()
    drawn = call(made.sample, 7, torch.Generator().manual_seed(seed))
    assert drawn.shape == (7,) and ((drawn >= 0) & (drawn <= 1)).all()
    assert call(made.sample, 0).shape == (0,)


@many(paths(), st.data(), numbers)
def test_visible_times(way, data, uniform):
    _, v = data.draw(images(way.operator.shape, st.sampled_from([(), (), (2,)])))
    call(process.check_clocks, way)
    v = v.abs() if data.draw(st.booleans()) else v
    call(times.check_visible, way)
    share = call(times.visible_share, way, v, [0.0, 0.5, 1.0])
    if share is not None and (v >= 0).all() and v.isfinite().all():
        assert share.shape == (3, *v.shape) and ((share >= 0) & (share <= 1)).all()
    errors = call(times.linear_error, way, v, [0.0, 0.5, 1.0])
    assert errors is None or errors.dtype == torch.float64
    made = call(times.VisibleTime, way, v, uniform, 50)
    if made is not None:
        assert (call(made.density, torch.linspace(0, 1, 5)) >= -1e-9).all()
        found = call(made.quantile, torch.rand(4))
        assert ((found >= 0) & (found <= 1)).all()


@many(st.integers(0, 9), odd_numbers | st.floats(0.5, 20), st.sampled_from(["balanced", "zzz"]),
      seeds)
def test_what_losses_count_by(n, width, name, seed):
    made = call(times.Balanced, width)
    call(times.make_counted, name)
    losses, t = make((2, n), torch.float32, seed=seed).abs() + 1e-3
    if made is not None:
        weights = call(made.weights, None, t, losses)
        assert weights.shape == (n,) and weights.isfinite().all() and (weights > 0).all()


# exact


@many(paths(), st.data())
def test_the_gaussian_posterior(way, data):
    grid = way.operator.shape
    _, mean = data.draw(images(grid, st.just(())))
    _, variance = data.draw(images(grid, st.just(())))
    variance = variance.abs() if data.draw(st.integers(0, 3)) else variance
    posterior = call(exact.GaussianPosterior, mean, variance, way)
    plus = call(exact.LinearPlus, Network(), way, mean, variance)
    assert (posterior is None) <= (plus is None) or mean.is_meta
    if posterior is None:
        return
    assert is_finite((mean, variance)) and (variance >= 0).all()
    _, z = data.draw(images(grid, st.sampled_from([(2, 1), (1,), (0, 1)])))
    t = data.draw(times_for(z))
    found = call(posterior, z, t)
    assert found is None or like(found, z)
    call(posterior.moments, z, t)
    there = call(posterior.transport, z, t, 0.5)
    if there is not None:
        assert like(there, z)
        call(plus, z, t, None)


@many(st.floats(0.05, 0.9), st.floats(0.05, 0.9), seeds, st.floats(0, 1))
def test_the_exact_flow_returns(t, t_to, seed, r):
    way = path.HeatProbPath((3, 4), r)
    mean, spread = make((2, 3, 4), torch.float64, seed=seed)
    posterior = exact.GaussianPosterior(mean, spread.square() + 0.1, way)
    z = make((2, 1, 3, 4), torch.float64, seed=seed + 1)
    there = call(posterior.transport, z, t, t_to)
    assert torch.allclose(posterior.transport(there, t_to, t), z, atol=1e-7)


@many(paths(), st.data())
def test_the_empirical_posterior(way, data):
    _, known = data.draw(images(way.operator.shape, st.sampled_from([(3, 1), (1, 1), (0, 1)])))
    posterior = call(exact.EmpiricalPosterior, known, way)
    if posterior is None:
        return
    _, z = data.draw(images(way.operator.shape, st.sampled_from([(2, 1), (2, 3), (0, 1), ()])))
    t = data.draw(times_for(z))
    weights = call(posterior.weights, z, t)
    found = call(posterior, z, t)
    if found is not None:
        assert like(found, z)
        if not z.is_meta and is_finite(z):
            assert torch.allclose(weights.sum(1), torch.ones(len(z)).double())
            assert (weights >= 0).all()


# solver and sampling


@many(st.one_of(st.integers(-2, 40), st.sampled_from([0, 2.5, "5", None, True, 10**9, math.nan])),
      any_times, any_times, st.sampled_from(["euler", "heun", "zzz", "", "dopri5", None]))
def test_grids_of_times(steps, start, last, name):
    ts = call(solver.time_grid, steps, start, last)
    call(solver.stage_grids, [process.Process()], steps, start, last)
    if ts is not None:
        assert len(ts) == steps + 1 and ts[0] == start and ts[-1] == 1
        assert all(a < b for a, b in zip(ts, ts[1:])) or start > 1 - 1e-12
        assert call(solver.check_times, ts[::-1], True) is None
    with pytest.raises((ValueError, TypeError)):
        solver.check_times([0.5, 0.2] if ts is None else [*ts, 1.5])
    known = call(solver.known_solver, name)
    count = call(solver.evaluations, name, steps)
    assert count is None or (known is not None and count >= steps)
    call(solver.register_solver, {str(name)})


WRONG = ("one", "channel", "other device", "none", "whole")


def answer(z, x, how):
    """What a predictor says: `x`, or something that does not fit."""
    if how == "channel":
        return x[:, :1]
    if how == "one":
        return x[:1]
    if how == "other device":
        return x.to("meta")
    return dict(right=x, none=None, whole=x.long() if not x.is_meta else x)[how]


@many(st.sampled_from([*solver.SOLVERS]), paths(), st.data())
def test_solvers(name, way, data):
    _, x = data.draw(images(way.operator.shape, st.sampled_from([(2, 3), (2, 1), (0, 1)])))
    how = data.draw(st.sampled_from(["right"] * 4 + [*WRONG]))
    steps = data.draw(st.integers(1, 3))
    ts = solver.time_grid(10 if name == "chain" else steps, way.t_min)
    ts = data.draw(st.sampled_from([ts, ts, ts, ts[::-1], [*ts, 1.2], [math.nan, 1.0], [], [0.1]]))
    solve = solver.known_solver(name)
    if not solve.needs <= way.offers("v" if name == "chain" else "x"):
        return
    z = call(way.start, x)
    if z is None:
        return
    end = call(solve, lambda z, t: answer(z, x, how), way, z, ts, finite=is_finite(x))
    falls = not all(a < b for a, b in zip(ts, ts[1:]))
    assert end is None or not falls and max(ts) <= 1
    assert end is None or like(end, z)
    same = how in ("right", "other device" if x.is_meta else "", "one" if len(x) < 2 else "",
                   "channel" if x.shape[1] == 1 else "")
    assert end is None or same or len(ts) == 1


@many(paths(), st.data(), any_times, any_times)
def test_steps(way, data, t, t_next):
    _, z = data.draw(images(way.operator.shape, st.sampled_from([(2, 1), (2, 3)])))
    if "clocks" not in way.offers("x"):
        return
    for step in (sampling.exponential_step, sampling.ancestral_step):
        found = call(step, way, z, z, t, t_next, finite=t_next != 0 and way.has_noise)
        assert found is None or like(found, z)
    call(sampling.diffeq_solver("rk4"), lambda z, t: z, way, z, [0.2, 0.4])
    call(process.check_one_flow, way)
    call(multistep.log_snr, way, t, z[:1])
    known = call(lambda: [(t, way.operator.modes(z)), (0.1, way.operator.modes(z))], finite=False)
    for step in (multistep.multistep_step, multistep.stochastic_step):
        for some in (known, known and known[:1]):
            found = known and call(step, way, some, z, t_next, finite=False)
            assert found is None or like(found, z)
    for moments in (multistep.deis_moments, multistep.log_snr_moments):
        found = call(moments, way, [t, 0.1], t_next, torch.zeros(1, *z.shape[1:]).double(),
                     finite=False)
        found = found and call(multistep.polynomial_weights, *found, finite=False)
        assert found is None or len(found) == 2


@many(paths(), st.integers(1, 3), st.one_of(st.integers(-2, 9), odd_numbers), any_times, any_times)
def test_multistep_solvers_and_grids(way, order, steps, first, last):
    grid = call(multistep.log_snr_grid, steps, first, last)
    assert grid is None or (len(grid) == steps + 1 and grid[0] == 0 and grid[-1] == 1)
    grid = call(multistep.visible_grid, steps, way, torch.ones(way.operator.shape))
    assert grid is None or len(grid) == steps + 1
    fits = call(solver.checked_fits, [((0.0, first, last), (0.0, 1.0))])
    assert fits is None or (last == 1 and 0 < first < 1)
    assert call(solver.checked_fit, [((0.0, 0.5, 1.0), (0.0, 1.0))], steps) is None or steps == 2
    assert call(checks.checked_labels, [0, order], 3).tolist() == [0, order]
    labels = torch.tensor([0, order])
    assert torch.equal(call(checks.batch_labels, labels, 3, 2, labels.device), labels)
    assert call(checks.batch_labels, None, order, 2, labels.device).tolist() == [order, order]
    solve = call(multistep.multistep_solver, order)
    if {"clocks", "target", "noise"} <= way.offers("x"):
        z = torch.ones(1, 1, *way.operator.shape).double()
        ts = [way.t_min + 0.1, 0.5, 0.9]
        ahead = call(sampling.to_middle, ts)
        assert ahead[0] == 0
        assert torch.isfinite(call(solve, lambda z, t: z, way, z, ts)).all()
        assert torch.isfinite(call(sampling.two_step, lambda z, t: z, way, z, ts, ahead)).all()


class Network(torch.nn.Module):
    """The smallest network: it says that the image is half of what it sees."""

    channels = 1
    num_classes = 3
    prediction = "x"
    asked = 0

    def __init__(self):
        super().__init__()
        self.blocks = [None] * 8

    def forward(self, z, t, labels=None, features=()):
        tokens = [z.flatten(2)] * len(features)
        return (z / 2, tokens) if features else z / 2


@many(paths(), st.sampled_from([*solver.SOLVERS, "", "zzz"]), st.integers(-1, 3), numbers,
      any_times, st.sampled_from([[0, 1], [0, 3], [], [0.5], [9], [[1]]]), st.booleans())
def test_generate(way, name, steps, scale, last, labels, given_z):
    how = call(sampling.Sampling, name, steps, last, scale)
    labels = torch.tensor(labels)
    more = dict(solver=name, steps=steps, last_time=last, guidance_scale=scale)
    if given_z:
        more |= dict(z=torch.zeros(2, 1, *way.operator.shape), t_start=0.5)
    found = call(sampling.generate, Network(), way, labels, finite=False, **more)
    if found is not None:
        assert how is not None and found.shape == (len(labels), 1, *way.operator.shape)
        assert not found.isnan().any() and (found.abs() <= 1).all()
        assert how.replace(steps=2).steps == 2 and how.suited(way).evaluations() != 0
    z = torch.zeros(2, 1, *way.operator.shape)
    predict = call(guidance.predictor, Network(), way, torch.tensor([0, 1]), scale)
    guide = call(guidance.guided, Network(), torch.tensor([0, 1]), scale)
    if predict is not None and isinstance(scale, float) and math.isfinite(scale):
        assert call(guidance.is_doubled, 0.5, scale, (0.1, 0.9)) == (scale not in (0, 1))
        assert like(call(guide, z, 0.5), z)
        assert call(predict, z, 0.5) is not None


# spectra and objective


@many(images(None, st.sampled_from([(2, 3), (1, 1), (3, 0)])), numbers, shapes, st.data())
def test_spectra(case, cut, shape, data):
    _, x = case
    straight = call(spectra.straightness, x)
    if straight is not None and is_finite(x) and not x.is_meta and straight.numel():
        assert (straight >= 1 - 0.02).all()
    ratio = call(spectra.frequency_ratio, x, cut)
    assert ratio is None or ratio.is_meta or not is_finite(x) or ratio >= 0
    if not isinstance(shape, tuple) or len(shape) != 2 or max(shape) < 10**4:
        low = call(spectra.frequency_bands, shape, cut)
        assert low is None or low[0, 0] or cut < 1e-20  # whose square is 0 in float32
    way = data.draw(paths())
    _, S = data.draw(images(way.operator.shape, st.just(())))
    call(spectra.expected_ratio, S if data.draw(st.booleans()) else S.abs(), way,
         torch.tensor([0.1, 0.5, 1.0]), cut)


@many(paths(), st.sampled_from(["x", "eps", "v", "zzz"]), st.sampled_from(["x", "eps", "v", ""]),
      st.data())
def test_the_loss_of_a_prediction(way, prediction, loss, data):
    grid = way.operator.shape
    _, x = data.draw(images(grid, st.sampled_from([(2, 1), (2, 3), (0, 1)])))
    _, e = data.draw(images(grid, st.sampled_from([tuple(x.shape[:2])] * 3 + [(2, 1)]),
                            dtypes=st.just(x.dtype)))
    t = data.draw(times_for(x))
    weights = data.draw(st.sampled_from([None, torch.ones(2), torch.ones(1), torch.ones(2, 1)]))
    weigh = None if weights is None else lambda losses: weights
    found = call(objective.prediction_loss, way, prediction, loss, e, e, x, t, weigh)
    assert found is None or found.is_meta or not is_finite((x, e)) or found >= 0
    assert found is None or found.shape == ()


@many(paths(), st.data(), numbers, numbers)
def test_the_loss_of_training(way, data, drop, layersync):
    _, x = data.draw(images(way.operator.shape, st.sampled_from([(2, 1), (2, 3), (0, 1)])))
    if data.draw(st.booleans()) and x.is_floating_point() and not x.is_meta:
        x = (x.detach() + 1) * 127.5
    labels = data.draw(st.sampled_from([torch.tensor([0, 1]), torch.tensor([[0, 1]]),
                                        torch.tensor([0])]))
    found = call(objective.training_loss, Network(), way, x, labels, label_drop=drop,
                 layersync=layersync, loss="v")
    if found is not None and not x.is_meta and is_finite(x):
        assert x.abs().max() <= 16 and x.numel()
    call(objective.drop_labels, labels, 3, drop)
    pair = call(objective.layersync_pair, drop if isinstance(drop, (int, float)) else 8)
    assert pair is None or pair[0] < pair[1]
    cosine = call(objective.layersync_loss, x, x)
    assert cosine is None or cosine.is_meta or not is_finite(x) or -1.01 <= cosine <= 1.01


# metrics


sets = st.sampled_from([(5, 1), (4, 3), (2, 1), (1, 1), (0, 1), (6,), ()])


@many(st.data(), st.integers(-1, 4), st.one_of(st.integers(-1, 9), numbers))
def test_measures_of_two_sets(data, count, patch):
    grid = data.draw(squares)
    _, a = data.draw(images(grid, sets))
    _, b = data.draw(images(data.draw(st.sampled_from([grid, grid, grid, (3, 4)])), sets))
    for measure in (metrics.frechet_distance, metrics.mode_frechet):
        found = call(measure, a, b)
        if found is not None:
            scale = float(max(a.double().abs().max(), b.double().abs().max(), 1e-30))**2
            assert found >= -1e-6 * scale * a[0].numel()
            assert measure(a, a) < 1e-6 * scale * a[0].numel()
    call(metrics.squared_mmd, a.flatten(1) if a.ndim > 1 else a, b.flatten(1) if b.ndim > 1 else b)
    if a.ndim > 1 and b.ndim > 1:
        call(metrics.kernel_distance, a.flatten(1), b.flatten(1), count, 3)
    found = call(metrics.precision_recall, a, b, max(count, 0))
    assert found is None or all(0 <= share <= 1 for share in found)
    far = call(metrics.nearest_distances, a, b, count)
    assert far is None or (far.shape == (len(a),) and (far >= 0).all())
    call(metrics.nearest_distance, a, b, bool(count % 2))
    found = call(metrics.nearest_ratio, a, b, b)
    assert found is None or 0 <= found["share_train"] <= 1
    call(metrics.nearest_ratio, a, a, b)
    steps = call(metrics.seam_steps, a, patch)
    assert steps is None or (steps >= 0).all()
    call(metrics.seam_ratio, a, patch, finite=False)


@many(st.data())
def test_statistics_add_up(data):
    _, a = data.draw(images((3,), st.sampled_from([(5,), (2,), (1,), (0,)])))
    _, b = data.draw(images(data.draw(st.sampled_from([(3,), (3,), (1,)])), st.just((4,))))
    one = call(metrics.feature_statistics, a)
    two = call(metrics.feature_statistics, b)
    if one and two:
        merged = call(metrics.merge_statistics, len(a), *one, len(b), *two)
        if merged is not None:
            whole = metrics.feature_statistics(torch.cat([a.double(), b.double()]))
            assert near(merged[1], whole[0], 9) and near(merged[2], whole[1], 9)
        call(metrics.frechet_of_statistics, *one, *two)
    sums = [call(metrics.mode_moments, x) for x in (a, b)]
    if sums[0] is not None and sums[1] is not None:
        call(metrics.frechet_of_moments, *sums)
    labels = torch.zeros(data.draw(st.integers(0, 6)))
    found = call(metrics.classifier_accuracy, lambda x: torch.zeros(len(x)), a, labels)
    assert found is None or found == 1


# baselines


@many(shapes, numbers, st.data())
def test_levels_and_haar(shape, scales, data):
    levels = call(baselines.BlurLevels, shape, scales)
    if levels is not None and math.prod(levels.operator.shape) < 10**4:
        x = make((2, *levels.operator.shape), data.draw(dtypes))
        k = call(levels.level, x, data.draw(times_for(x)))
        assert k is None or k.is_meta or ((k >= 0) & (k <= levels.levels)).all()
        found = call(levels.blurred, x, data.draw(st.integers(-2, 5)))
        assert found is None or like(found, x)
    haar = call(baselines.HaarOperator, shape, scales)
    if haar is not None and math.prod(haar.shape) < 10**4:
        _, x = data.draw(images(haar.shape))
        X = call(haar.modes, x)
        if X is not None and is_finite(x) and not x.is_meta:
            assert near(haar.pixels(X, x), x, 4)


# mistakes that were once silent


HEAT = path.HeatProbPath((8, 8))
ONE = torch.zeros(2, 1, 8, 8)
TWO_SETS = (torch.rand(5, 3, 8, 8), torch.rand(5, 1, 8, 8))


def network(z, t):
    return vit.JiT(8, 4, 1, 2, 1, 16, 2, 8, 0, 1)(z, t)


@pytest.mark.parametrize("mistake", [
    lambda: core.HeatOperator((8, 8))(torch.zeros(8, 8), torch.rand(8)),
    lambda: exact.GaussianPosterior(torch.zeros(8, 8), torch.full((8, 8), math.nan), HEAT),
    lambda: sampling.Sampling(steps=0),
    lambda: sampling.Sampling(solver=""),
    lambda: solver.evaluations("zzz", 5),
    lambda: solver.evaluations("euler", 0),
    lambda: sampling.euler(lambda z, t: z[:, :1], HEAT, torch.zeros(2, 3, 8, 8), [0.0, 1.0]),
    lambda: sampling.euler(lambda z, t: z, HEAT, ONE, [1.0, 0.5]),
    lambda: sampling.euler(lambda z, t: z, HEAT, ONE, [0.5, 1.5]),
    lambda: metrics.mode_frechet(*TWO_SETS),
    lambda: metrics.nearest_distance(*TWO_SETS),
    lambda: metrics.precision_recall(*TWO_SETS),
    lambda: restore.psnr(*TWO_SETS),
    lambda: core.HeatOperator((8, 8), 1e300),
    lambda: path.HeatProbPath((8, 8), noise_scale=1e300),
    lambda: path.HeatProbPath((8, 8), laplacian_coefficient=math.inf),
    lambda: path.HeatProbPath((8, 8), t_eps=1e-300),
    lambda: core.HeatOperator("88"),
    lambda: core.HeatOperator((8.7, 8.2)),
    lambda: network(ONE, 1.5),
    lambda: network(ONE, torch.tensor([0.5, -0.1])),
    lambda: network(ONE.long(), 0.5),
    lambda: path.BlurProbPath((8, 8), t_min=0.2).sample(ONE, ONE, 0.1),
    lambda: path.BlurProbPath((8, 8), t_min=0.2).target_to_velocity(ONE, ONE, 0.1),
    lambda: objective.training_loss(Network(), HEAT, ONE + 255, torch.zeros(2).long()),
    lambda: objective.training_loss(Network(), HEAT, ONE[:0], torch.zeros(0).long()),
])
def test_it_is_refused_in_one_line(mistake):
    with pytest.raises((ValueError, TypeError), match=r"\A[^\n]{8,300}\Z"):
        mistake()


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_network_keeps_the_type_of_its_images(dtype):
    assert network(ONE.to(dtype), 0.5).dtype == dtype


def test_the_cached_eigenvalues_are_ours():
    op = core.HeatOperator((8, 8))
    op.eigenvalues(ONE).zero_()
    assert op.eigenvalues(ONE).max() > 1 and core.HeatOperator((8, 8)).eigenvalues(ONE).max() > 1


def test_nothing_is_left_out():
    """Every public function and class of these modules was called above."""
    not_called = {"Process", "TwoClocks", "register_path", "ProbPath", "PathSample", "UniformTime",
                  "LogitNormalTime", "digit_reader", "full_precision", "checked", "StagedFlow"}
    not_called |= {f.__name__ for f in (baselines.InverseHeat, baselines.BlurringDiffusion)}
    missing = []
    for module in MODULES:
        for name in module.__all__:
            thing = getattr(module, name)
            if callable(thing) and not isinstance(thing, type(typing_alias)):
                if name not in CALLED | not_called | {p.__name__ for p in path.PATHS.values()}:
                    missing.append(f"{module.__name__}.{name}")
    assert not [name for name in missing if name.split(".")[-1] not in solver.SOLVERS], missing


typing_alias = int | str
