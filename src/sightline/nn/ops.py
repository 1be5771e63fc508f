"""The few dense operations whose stock form is slow on a CPU: linear maps, dropout, projection with cross-entropy.

Shapes: N rows, M outputs, K inputs of a product; V vocabulary, D features, C rows of a chunk, P passes.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor

# `linear_cross_entropy` multiplies in large chunks, which keep the matrix units busy (so many elements or, where the
# vocabulary is large, so many rows), and turns logits into errors in small ones that stay in cache.
_LARGE_CHUNK, _LARGE_ROWS = 8 * 1024 * 1024, 1024
_SMALL_CHUNK = 512 * 1024


class AutogradContext(Protocol):
    """What `torch.autograd.Function` hands to its two passes."""

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]: ...
    @property
    def needs_input_grad(self) -> tuple[bool, ...]: ...
    def save_for_backward(self, *tensors: Tensor | None) -> None: ...
    def mark_non_differentiable(self, *tensors: Tensor) -> None: ...


def apply(function: type[torch.autograd.Function], *arguments: Tensor | None) -> Tensor:
    """A function with a gradient of its own, which gives one tensor."""
    return cast(Tensor, function.apply(*arguments))  # torch does not say what it gives


@functools.cache
def _onednn_beats_mkl() -> bool:
    """True on AMD processors, where MKL keeps to 256-bit kernels and oneDNN's fp32 products are twice as fast.

    Decided by the vendor's name and not by a stopwatch: a resumed run must take the same path bit for bit.
    """
    cpuinfo = Path("/proc/cpuinfo")
    return (
        torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and cpuinfo.exists()
        and "AuthenticAMD" in cpuinfo.read_text(errors="replace")
    )


def _onednn_product(a_NK: Tensor, b_MK: Tensor, bias_M: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(_dense(a_NK), _dense(b_MK), bias_M, "none", [], "")


def _dense(x: Tensor) -> Tensor:
    """oneDNN refuses views whose elements overlap, as those of expanded gradients and of sliding windows do."""
    return x if x.dim() != 2 or x.is_contiguous() or x.t().is_contiguous() else x.contiguous()


class _OneDNNLinear(torch.autograd.Function):
    """y = x Wᵀ + b in fp32, all three products of forward and backward through oneDNN."""

    @staticmethod
    def forward(ctx: AutogradContext, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn_product(x, weight, bias)

    @staticmethod
    def backward(ctx: AutogradContext, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad_NM = grads[0].reshape(-1, weight.shape[0])
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_x = _onednn_product(grad_NM, weight.t()).view(x.shape)
        if ctx.needs_input_grad[1]:
            grad_weight = _onednn_product(grad_NM.t(), x.reshape(-1, x.shape[-1]).t())
        if ctx.needs_input_grad[2]:
            grad_bias = grad_NM.sum(0)
        return grad_x, grad_weight, grad_bias


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b. `x` (..., in), `weight` (out, in), `bias` (out,) → (..., out)."""
    if x.dtype is torch.float32 and x.device.type == "cpu" and x.numel() > 0 and _onednn_beats_mkl():
        return apply(_OneDNNLinear, x, weight, bias)
    return F.linear(x, weight, bias)


def project(features: Tensor, weight_VD: Tensor, bias_V: Tensor | None) -> Tensor:
    """Features (..., D) → logits (..., V), in fp32 whatever the model is in.

    In bf16 logits of about 10 are apart by 1/16, which is enough to choose another word.
    """
    return linear(features.float(), weight_VD.float(), None if bias_V is None else bias_V.float())


class Linear(torch.nn.Module):
    """A linear map, Xavier-uniform at the start (Glorot & Bengio 2010), through `linear`."""

    def __init__(self, in_width: int, out_width: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(out_width, in_width))
        self.bias = torch.nn.Parameter(torch.zeros(out_width)) if bias else None
        torch.nn.init.xavier_uniform_(self.weight)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}, bias={self.bias is not None}"

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def dropout(x: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Inverted dropout (Srivastava et al. 2014) with masks from `generator`.

    On a CPU the mask is drawn a byte an element, 13 times cheaper than one Bernoulli draw each; the rate is
    therefore rounded to a multiple of 1/256 and the scale follows the rounded rate, so the mean is exact.
    """
    if x.device.type != "cpu":
        # of its own layout: on Apple's GPUs drawing in place into a transposed one did nothing (PyTorch issue 165267)
        keep = torch.empty(x.shape, dtype=x.dtype, device=x.device).bernoulli_(1.0 - rate, generator=generator)
        return x * keep.div_(1.0 - rate)
    dropped = min(max(round(rate * 256), 1), 255)
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None, generator=generator)
    draws = words.view(torch.uint8)[: x.numel()].view(x.shape)
    # compared into bytes: a comparison into booleans, and every operation on them, is ten times slower
    keep = torch.ge(draws, dropped, out=torch.empty_like(draws))
    return x * keep.to(x.dtype).mul_(256.0 / (256 - dropped))


class _LinearCrossEntropy(torch.autograd.Function):
    """Cross-entropy of a projection, chunk by chunk; the gradients are made at once, in the place of the logits.

    d loss / d logits = p - (1 - ε) onehot - ε / V. The last term is the same for every row and token, so its part
    of the two products is a sum over the weight's rows and one over the features; so is the mean logit it needs.
    Where there are two passes over the same targets, p and q, α / 2 · (KL(p‖q) + KL(q‖p)) is added; its gradient by p's
    logits is α / 2 · (p (ln p - ln q - KL(p‖q)) + p - q).
    """

    @staticmethod
    def forward(
        ctx: AutogradContext,
        hidden_PND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        target_N: Tensor,
        smoothing: float,
        consistency: float,
    ) -> tuple[Tensor, Tensor]:
        need_grad = any(ctx.needs_input_grad[:3])
        vocab, width = weight_VD.shape
        passes, count = hidden_PND.shape[:2]
        device, dtype = hidden_PND.device, hidden_PND.dtype
        mean_weight_D = weight_VD.mean(0, dtype=torch.float32) if smoothing else None
        mean_bias = 0.0 if bias_V is None else bias_V.float().mean()
        grad_hidden = torch.empty_like(hidden_PND)
        grad_weight: Tensor | None = None
        grad_bias = torch.zeros(vocab, device=device)
        loss, nll = torch.zeros((), device=device), torch.zeros((), device=device)
        large = max(1, max(_LARGE_CHUNK // vocab, _LARGE_ROWS) // passes)
        # small ones stay in a CPU's cache; a GPU would only wait for many small kernels
        small = max(1, _SMALL_CHUNK // vocab // passes) if device.type == "cpu" else large
        for start in range(0, count, large):
            hidden_PCD, target_C = hidden_PND[:, start : start + large], target_N[start : start + large]
            logits_PCV = linear(hidden_PCD.reshape(-1, width), weight_VD, bias_V).view(*hidden_PCD.shape[:2], vocab)
            for low in range(0, logits_PCV.shape[1], small):
                rows = slice(low, low + small)
                logits, target = logits_PCV[:, rows], target_C[rows].expand(passes, -1)[:, :, None]
                probability = torch.softmax(logits, -1, dtype=torch.float32)
                # the largest probability is at least 1 / V: its logarithm is safe where the target's may not be
                normaliser = logits.amax(-1).float() - probability.amax(-1).log()
                chunk_nll = (normaliser - logits.gather(-1, target)[:, :, 0]).sum()
                nll += chunk_nll
                loss += (1 - smoothing) * chunk_nll
                if mean_weight_D is not None:
                    mean_logit = hidden_PCD[:, rows].float() @ mean_weight_D + mean_bias
                    loss += smoothing * (normaliser - mean_logit).sum()
                error = probability
                if consistency:
                    divergence, error = _divergence(logits, normaliser, probability, consistency)
                    loss += divergence
                if need_grad:
                    error.scatter_add_(-1, target, torch.full_like(target, smoothing - 1, dtype=torch.float32))
                    logits_PCV[:, rows] = error  # in the place of logits, which are not needed again
            if need_grad:
                error_NV, hidden_ND = logits_PCV.flatten(0, 1), hidden_PCD.reshape(-1, width)
                grad_hidden[:, start : start + large] = (error_NV @ weight_VD).view_as(hidden_PCD)
                product = error_NV.t() @ hidden_ND
                # sums of several chunks in fp32; most often there is one
                grad_weight = product if grad_weight is None else grad_weight.float().add_(product)
                if bias_V is not None:
                    grad_bias += error_NV.new_ones(1, error_NV.shape[0]).mm(error_NV)[0]
        if need_grad:
            grad_weight = torch.zeros_like(weight_VD) if grad_weight is None else grad_weight
            if mean_weight_D is not None:
                grad_hidden -= (smoothing * mean_weight_D).to(dtype)
                grad_weight -= (smoothing / vocab * hidden_PND.sum((0, 1), dtype=torch.float32)).to(grad_weight.dtype)
                grad_bias -= smoothing / vocab * passes * count
            bias = () if bias_V is None else (grad_bias.to(dtype),)
            ctx.save_for_backward(grad_hidden, grad_weight.to(dtype), *bias)
        ctx.mark_non_differentiable(nll)
        return loss, nll

    @staticmethod
    def backward(ctx: AutogradContext, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, *bias = ctx.saved_tensors
        scale = grads[0].to(hidden.dtype)
        return hidden * scale, weight * scale, bias[0] * scale if bias else None, None, None, None


def _divergence(
    logits_2CV: Tensor, normaliser_2C: Tensor, probability_2CV: Tensor, weight: float
) -> tuple[Tensor, Tensor]:
    """weight / 2 · (KL(p‖q) + KL(q‖p)) summed over the rows, and p and q plus its gradients by their logits."""
    p, q = probability_2CV
    # ln p - ln q
    ratio_CV = (logits_2CV[0] - logits_2CV[1]).float() - (normaliser_2C[0] - normaliser_2C[1])[:, None]
    forwards_C1, backwards_C1 = (p * ratio_CV).sum(-1, keepdim=True), -(q * ratio_CV).sum(-1, keepdim=True)
    half = weight / 2
    gap_CV = (p - q).mul_(half)
    error_p = p + gap_CV + half * p * (ratio_CV - forwards_C1)
    error_q = q - gap_CV - half * q * (ratio_CV + backwards_C1)
    return half * (forwards_C1 + backwards_C1).sum(), torch.stack([error_p, error_q])


def linear_cross_entropy(
    hidden_ND: Tensor,
    weight_VD: Tensor,
    bias_V: Tensor | None,
    target_N: Tensor,
    smoothing: float = 0.0,
    consistency: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Label-smoothed cross-entropy of softmax(hidden Wᵀ + b) against `target`, without ever holding all logits.

    The smoothed target puts 1 - ε on the right token and spreads ε evenly over the vocabulary (Szegedy et al. 2016).
    The softmax and the sums run in fp32 whatever the width of the products.

    Args:
        hidden_ND: N rows of features; rows of padding are to be left out by the caller. With `consistency` (2, N, D):
            two passes over the same rows, each with a dropout of its own.
        weight_VD: the vocabulary projection; `bias_V` its bias or None.
        target_N: int64 token ids.
        smoothing: ε in [0, 1).
        consistency: α of R-Drop (Liang et al. 2021, eq. 4): the two passes' symmetric divergence, times α, is added.

    Returns:
        (loss, nll): sums over the rows in nats, over both passes where there are two; only the first carries a
        gradient.
    """
    if not torch.is_grad_enabled():  # the function itself cannot tell, and would make gradients nobody asked for
        hidden_ND, weight_VD = hidden_ND.detach(), weight_VD.detach()
        bias_V = None if bias_V is None else bias_V.detach()
    hidden_PND = hidden_ND if consistency else hidden_ND[None]
    return cast(
        tuple[Tensor, Tensor],
        _LinearCrossEntropy.apply(hidden_PND, weight_VD, bias_V, target_N, smoothing, consistency),
    )


def to_precision(model: torch.nn.Module, dtype: torch.dtype) -> None:
    """Gives the model's parameters `dtype`; buffers, which are running statistics, stay in fp32."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
