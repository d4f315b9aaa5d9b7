"""The parameter generator and what it reads: order of features and classes, padding, the head, preprocessing."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.tabular.encoder import MISSING, UNSEEN, fit_encoder
from modelgpt_cli.domains.tabular.features import Z_CLIP, channels
from modelgpt_cli.domains.tabular.generator import load_generator, make_generator
from modelgpt_cli.domains.tabular.loss import query_losses
from modelgpt_cli.domains.tabular.members import draw_support
from modelgpt_cli.domains.tabular.synthetic.draw import draw_task
from modelgpt_cli.domains.tabular.target import loo_residuals
from modelgpt_cli.domains.tabular.tasks import TaskBatch, class_codes, collate, encode_task
from modelgpt_cli.parameter_generator import text_encoder
from modelgpt_cli.parameter_generator.checkpoint import save_generator, warm_start
from modelgpt_cli.parameter_generator.generator import Generator, GeneratorConfig
from modelgpt_cli.parameter_generator.posterior import leave_one_out, solve_head

TINY = GeneratorConfig(width=32, blocks=2, feedback=1)
SUPPORT, QUERY = 40, 24


@pytest.fixture(scope="module")
def generator() -> Generator:
    """A tiny generator, its branches that start at zero shaken so that every path counts."""
    torch.manual_seed(0)
    made = make_generator(TINY).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.03 * torch.randn_like(parameter)
    return made


def batch_of(widths: list[int], n_classes: int = 3, seed: int = 0, codes: torch.Tensor | None = None) -> TaskBatch:
    """Synthetic tasks of at most so many features, padded to one batch, with words drawn at random."""
    rng = np.random.default_rng(seed)
    tasks = [draw_task(rng, n_rows=SUPPORT + QUERY, n_classes=n_classes, max_features=w) for w in widths]
    encoded = [encode_task(t, SUPPORT) for t in tasks]
    codes = class_codes(len(widths), n_classes, torch.Generator().manual_seed(1)) if codes is None else codes
    batch = collate(encoded, SUPPORT, codes, embedding=TINY.embedding)
    words = torch.randn(batch.inputs.feature_names.shape, generator=torch.Generator().manual_seed(2))
    batch.inputs.feature_names = words * batch.inputs.feature_mask[..., None]
    return batch


def doubled(batch: TaskBatch) -> TaskBatch:
    """The batch in float64."""
    floats = {k: v.double() for k, v in vars(batch.inputs).items() if torch.is_tensor(v) and v.is_floating_point()}
    return replace(batch, inputs=replace(batch.inputs, **floats), query_channels=batch.query_channels.double())


@torch.no_grad()
def test_features_may_come_in_any_order(generator: Generator) -> None:
    inputs = batch_of([9]).inputs
    d = inputs.feature_mask.shape[1]
    order = torch.randperm(d, generator=torch.Generator().manual_seed(3))
    turned = replace(
        inputs,
        channels=inputs.channels[:, :, order],
        feature_mask=inputs.feature_mask[:, order],
        full=inputs.full[:, order],
        feature_names=inputs.feature_names[:, order],
    )
    one, two = generator(inputs), generator(turned)
    for name, axis in (("layers.0.weight", 1), ("linear.log_scale", 1), ("head.linear", 2)):
        expected = one[name].index_select(axis, order)
        torch.testing.assert_close(two[name], expected, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(one[name], expected, atol=1e-2), f"{name} is the same for every feature"
    for name in ("layers.1.weight", "head.weight", "head.log_precision"):
        torch.testing.assert_close(two[name], one[name], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_classes_may_come_in_any_order(generator: Generator) -> None:
    inputs = batch_of([7], n_classes=4).inputs
    order = torch.tensor([2, 0, 3, 1])
    turned = replace(inputs, target=inputs.target[:, :, order], codes=inputs.codes[:, order])
    one, two = generator(inputs), generator(turned)
    for name in ("head.weight", "head.linear", "head.bias"):
        torch.testing.assert_close(two[name], one[name][:, order], atol=1e-4, rtol=1e-4)
        assert not torch.allclose(one[name], one[name][:, order], atol=1e-2), f"{name} is the same for every class"
    torch.testing.assert_close(two["layers.0.weight"], one["layers.0.weight"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("n_classes", [3, 0])
@torch.no_grad()
def test_padding_changes_nothing(generator: Generator, n_classes: int) -> None:
    generator = copy.deepcopy(generator).double()  # the shaken network blows rounding errors up
    rng = np.random.default_rng(5)
    tasks = [draw_task(rng, n_rows=SUPPORT + QUERY, n_classes=n_classes, max_features=w) for w in (3, 24, 8)]
    encoded = [encode_task(t, SUPPORT) for t in tasks]
    assert len({t.encoder.n_features for t in encoded}) > 1, "the tasks must differ in width"
    codes = class_codes(3, n_classes, torch.Generator().manual_seed(0))
    together = doubled(collate(encoded, SUPPORT, codes, embedding=TINY.embedding))
    losses = torch.stack(query_losses(generator(together.inputs), together))  # (2, B): posterior and prior
    for i, task in enumerate(encoded):
        alone = doubled(collate([task], SUPPORT, codes[i : i + 1], embedding=TINY.embedding))
        expected = torch.stack(query_losses(generator(alone.inputs), alone))
        torch.testing.assert_close(losses[:, i : i + 1], expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_words_matter_without_rows(generator: Generator) -> None:
    inputs = batch_of([6]).inputs
    inputs = replace(inputs, channels=inputs.channels[:, :0], target=inputs.target[:, :0])
    named = replace(inputs, class_names=torch.randn_like(inputs.class_names))
    one, two = generator(inputs), generator(named)
    assert torch.isfinite(one["head.weight"]).all()
    assert not torch.allclose(one["head.weight"], two["head.weight"], atol=1e-3)


@torch.no_grad()
def test_feedback_reads_the_residuals(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = batch_of([8]).inputs
    one = generator(inputs)
    hidden = generator.feedback.hidden
    monkeypatch.setattr(generator.feedback, "hidden", lambda p, t: (hidden(p, t)[0], hidden(p, t)[1].flip(1)))
    two = generator(inputs)
    torch.testing.assert_close(one["layers.0.weight"], two["layers.0.weight"])  # written before the feedback
    assert not torch.allclose(one["layers.1.weight"], two["layers.1.weight"], atol=1e-4)


@pytest.mark.parametrize("rows", [30, 8])
def test_leave_one_out_is_what_leaving_one_out_gives(rows: int) -> None:
    x, y = torch.randn(1, rows, 12), torch.randn(1, rows, 2)
    precision = torch.full((1, 12), 20.0)
    found = loo_residuals(x, y, precision)
    for i in range(rows):
        keep = torch.arange(rows) != i
        inputs = torch.cat([x, torch.ones(1, rows, 1)], -1)[0].double()
        penalty = torch.diag(torch.cat([precision[0], torch.tensor([1e-3])]).double())
        weight = torch.linalg.solve(inputs[keep].T @ inputs[keep] + penalty, inputs[keep].T @ y[0, keep].double())
        expected = (y[0, i].double() - inputs[i] @ weight).clamp(-3, 3).float()
        torch.testing.assert_close(found[0, i], expected, atol=1e-4, rtol=1e-4)


def test_leave_one_out_around_a_prior() -> None:
    phi, y, prior = torch.randn(2, 20, 5), torch.randn(2, 20, 3), torch.randn(2, 5, 3)
    precision = torch.rand(2, 5) + 0.5
    found = leave_one_out(phi, y, precision, prior)
    for i in (0, 7):
        keep = torch.arange(20) != i
        x = phi[:, keep]
        head = solve_head(x.transpose(1, 2) @ x, x.transpose(1, 2) @ y[:, keep], prior, precision)
        torch.testing.assert_close(found[:, i], y[:, i] - (phi[:, i : i + 1] @ head)[:, 0], atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_added_stages_start_as_no_ops(tmp_path) -> None:
    old = make_generator(replace(TINY, feedback=0)).eval()
    for parameter in old.parameters():
        parameter += 0.03 * torch.randn_like(parameter)
    save_generator(tmp_path / "old.safetensors", old, {}, domain="tabular")
    new = make_generator(TINY).eval()
    warm_start(new, tmp_path / "old.safetensors", "tabular")
    inputs = batch_of([8]).inputs
    one, two = old(inputs), new(inputs)
    assert set(one) == set(two)
    for name in one:
        torch.testing.assert_close(two[name], one[name], atol=1e-5, rtol=1e-5)


def test_warm_start_from_other_sizes_is_one_clear_error(generator: Generator, tmp_path) -> None:
    save_generator(tmp_path / "g.safetensors", generator, {}, domain="tabular")
    for config in (replace(TINY, width=16), replace(TINY, feedback=0)):
        with pytest.raises(ModelGPTError, match="doesn't fit"):
            warm_start(make_generator(config), tmp_path / "g.safetensors", "tabular")


def test_solved_head_is_ridge_around_the_prior() -> None:
    rng = np.random.default_rng(0)
    phi, y = rng.normal(size=(50, 7)), rng.normal(size=(50, 3))
    prior, precision = rng.normal(size=(7, 3)), rng.uniform(0.5, 20, 7)
    gram, moment = phi.T @ phi, phi.T @ y
    expected = np.linalg.solve(gram + np.diag(precision), moment + precision[:, None] * prior)
    tensors = (torch.from_numpy(a)[None].float() for a in (gram, moment, prior, precision))
    np.testing.assert_allclose(solve_head(*tensors)[0].numpy(), expected, atol=1e-4)


def test_solved_head_without_rows_is_the_prior() -> None:
    prior = torch.randn(2, 5, 3)
    nothing = solve_head(torch.zeros(2, 5, 5), torch.zeros(2, 5, 3), prior, torch.ones(2, 5))
    torch.testing.assert_close(nothing, prior)


def test_solved_head_survives_inputs_that_repeat() -> None:
    column = torch.randn(200, 1) * 100
    phi = torch.cat([column] * 6, 1)
    head = solve_head((phi.T @ phi)[None], (phi.T @ column)[None], torch.zeros(1, 6, 1), torch.full((1, 6), 1e-5))
    torch.testing.assert_close(phi @ head[0], column, atol=0.1, rtol=1e-2)


def test_missing_number_is_silent_in_every_channel() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    encoder = fit_encoder(x, np.zeros((60, 0), np.int64), ())
    z, u, flat = encoder.apply(np.array([[np.nan, 1.0]], np.float32), np.zeros((1, 0), np.int64))
    seen = channels(z, u)
    assert seen[0, 0].eq(0).all()
    assert seen[0, 1].ne(0).any()
    assert flat.shape[1] == 0  # nothing was missing in the support, so there is no indicator of it


def test_missing_number_has_an_indicator_where_the_support_misses_some() -> None:
    x = np.random.default_rng(0).normal(size=(60, 1)).astype(np.float32)
    x[:6] = np.nan
    encoder = fit_encoder(x, np.zeros((60, 0), np.int64), ())
    _, _, flat = encoder.apply(x, np.zeros((60, 0), np.int64))
    assert (flat[:6] > 0).all()
    assert (flat[6:] < 0).all()


def test_level_that_the_support_lacks_is_neutral() -> None:
    codes = np.array([[0], [1], [2]] * 20)
    encoder = fit_encoder(np.zeros((60, 0), np.float32), codes, (4,))
    rows = np.array([[0], [3], [UNSEEN], [MISSING]])
    _, _, flat = encoder.apply(np.zeros((4, 0), np.float32), rows)
    assert flat[0].ne(0).any()
    assert flat[1:].eq(0).all()  # a level, a word and a gap that no support row has


def test_standardised_values_are_clipped() -> None:
    x = np.random.default_rng(0).normal(size=(100, 1)).astype(np.float32)
    encoder = fit_encoder(x, np.zeros((100, 0), np.int64), ())
    far = np.array([[1e6], [-1e6]], np.float32)
    z, _, _ = encoder.apply(far, np.zeros((2, 0), np.int64))
    assert z[:, 0].tolist() == [Z_CLIP, -Z_CLIP]


def test_empirical_distribution_rises() -> None:
    rng = np.random.default_rng(0)
    x = np.stack([rng.lognormal(0, 3, 300), rng.integers(0, 40, 300)], 1).astype(np.float32)
    encoder = fit_encoder(x, np.zeros((300, 0), np.int64), ())
    grid = np.sort(np.concatenate([x, x * 1.01, [[-1e9, -1e9], [1e9, 1e9]]]), axis=0).astype(np.float32)
    _, u, _ = encoder.apply(grid, np.zeros((len(grid), 0), np.int64))
    assert (u.diff(dim=0) >= -1e-6).all()
    assert u[0].tolist() == [-1.0, -1.0]
    assert u[-1].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("scale", [1e-35, 1.0, 1e30, 1e37])
def test_infinite_and_huge_cells_stay_finite(scale: float) -> None:
    x = (np.random.default_rng(0).uniform(-1, 1, size=(80, 2)) * scale).astype(np.float32)
    x[:3, 0] = np.inf, -np.inf, 3e38
    encoder = fit_encoder(x, np.zeros((80, 0), np.int64), ())
    z, u, flat = encoder.apply(x, np.zeros((80, 0), np.int64))
    assert torch.isfinite(channels(z, u)).all()
    assert torch.isfinite(flat).all()


def test_support_holds_every_class_and_keeps_the_shares() -> None:
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat([0, 1, 2], [9_700, 290, 10]))
    chosen = draw_support(y, 3, 200, rng)
    assert len(set(chosen.tolist())) == 200
    counts = np.bincount(y[chosen], minlength=3)
    assert counts[2] == 10  # all of a class that has hardly any rows
    assert counts[0] > counts[1] >= 200 // 12
    every = draw_support(y, 3, len(y), rng)
    assert sorted(every.tolist()) == list(range(len(y)))


def test_checkpoint_gives_the_generator_back(generator: Generator, tmp_path) -> None:
    save_generator(tmp_path / "g.safetensors", generator, {"step": 7}, domain="tabular")
    read, header = load_generator(tmp_path / "g.safetensors")
    assert header["step"] == 7
    assert len(header["sha256"]) == 64
    for name, tensor in generator.state_dict().items():
        assert torch.equal(read.state_dict()[name], tensor), name


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", None])
def test_foreign_checkpoint_is_one_clear_error(content: bytes | None, tmp_path) -> None:
    path = tmp_path / "g.safetensors"
    if content is None:
        from safetensors.torch import save_file

        save_file({"a": torch.zeros(2)}, str(path))
    else:
        path.write_bytes(content)
    with pytest.raises(ModelGPTError, match="not a generator checkpoint"):
        load_generator(path)


def test_default_text_encoder_gives_what_transformers_gives() -> None:
    texts = ["Classify the species of an iris.", "", "sepal length (cm)", "a much longer text " * 100, "Straße 東京 🙂"]
    packaged = text_encoder.TextEncoder()
    ours = packaged(texts)
    assert ours.shape == (5, packaged.size) == (5, text_encoder.EMBEDDING)
    np.testing.assert_allclose(np.sqrt((ours**2).mean(1)), 1, atol=1e-4)
    by_folder = text_encoder.TextEncoder(str(text_encoder.default_folder()))
    np.testing.assert_allclose(by_folder(texts), ours, atol=2e-3)
    near = ours @ ours.T / text_encoder.EMBEDDING
    assert near[0, 2] > near[0, 3]  # iris is nearer to sepals than to filler


def test_changed_text_encoder_is_refused(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "model"
    copy.mkdir()
    original = text_encoder.default_folder()
    for file in original.iterdir():
        (copy / file.name).symlink_to(file)
    changed = bytearray((original / "model.safetensors").read_bytes())
    changed[-1] ^= 1
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors").write_bytes(changed)
    monkeypatch.setattr(text_encoder, "default_folder", lambda: copy)
    with pytest.raises(ModelGPTError, match="not the expected one") as caught:
        text_encoder.TextEncoder()
    assert "pip install" in caught.value.hint
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelGPTError, match="missing"):
        text_encoder.TextEncoder()
