"""The operators that may stand in an uploaded program, each with what its arguments must be.

torch has about 2,600 of them, and not all look at what they are given: some read past the end of a tensor or end the
process. So this is a list of what networks need, not of what is known to be bad, and nothing else is run. Arguments are
checked on shapes alone, before the operator runs (:mod:`.trial`); how much it would hold and do is :mod:`.watch`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

Given = Mapping[str, Any]  # arguments by name, defaults filled in
Check = Callable[[Given], bool]
LARGEST = 1 << 31  # of a size, a position or a window
REAL = frozenset({
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
    torch.uint8, torch.bool,
})  # fmt: skip
COMPLEX = frozenset({torch.complex64, torch.complex128})


def _anything(given: Given) -> bool:
    return True


def _numbers(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _window(given: Given) -> bool:
    """Convolutions and pools: kernels, strides, dilations and groups of at least 1, no negative padding."""
    ones = [n for key in ("kernel_size", "stride", "dilation", "groups") for n in _numbers(given.get(key))]
    padding = [n for key in ("padding", "output_padding") for n in _numbers(given.get(key)) if not isinstance(n, str)]
    return min([1, *ones]) >= 1 and min([0, *padding]) >= 0 and max([0, *ones, *padding]) < LARGEST


def _convolution(given: Given) -> bool:
    x, w, bias = given["input"], given["weight"], given.get("bias")
    transposed = given.get("transposed", "output_padding" in given)
    if x.dim() not in (w.dim(), w.dim() - 1) or w.dim() not in (3, 4, 5) or not _window(given):
        return False
    made = w.shape[1] * given["groups"] if transposed else w.shape[0]
    return x.dtype == w.dtype and 0 not in w.shape and (bias is None or tuple(bias.shape) == (made,))


def _output_size(given: Given) -> bool:
    sizes = [n for key in ("output_size", "size") for n in _numbers(given.get(key))]
    scales = [
        n for key in ("scale_factors", "scales_h", "scales_w", "scales_d", "scales") for n in _numbers(given.get(key))
    ]
    return (
        min([1, *sizes]) >= 1
        and max([1, *sizes]) < LARGEST
        and all(n is None or (math.isfinite(n) and n > 0) for n in scales)
    )


def _batch_norm(given: Given) -> bool:
    """Statistics are there unless they are those of the images, and every tensor has one number per channel."""
    x = given["input"]
    tensors = [given.get(key) for key in ("weight", "bias", "running_mean", "running_var")]
    uses_own = given.get("training", given.get("use_input_stats", False))
    if x.dim() < 2 or (not uses_own and any(t is None for t in tensors[2:])):
        return False
    return all(t is None or (tuple(t.shape) == (x.shape[1],) and t.is_floating_point()) for t in tensors)


def _group_norm(given: Given) -> bool:
    x, groups = given["input"], given.get("num_groups", given.get("group"))
    tensors = [t for t in (given.get("weight"), given.get("bias")) if t is not None]
    if x.dim() < 2 or groups < 1 or x.shape[1] % groups:
        return False
    if "HxW" in given and (given["N"], given["C"], given["HxW"]) != (*x.shape[:2], math.prod(x.shape[2:])):
        return False
    return all(tuple(t.shape) == (x.shape[1],) and t.dtype == x.dtype for t in tensors)


def _layer_norm(given: Given) -> bool:
    x, over = given["input"], list(given["normalized_shape"])
    tensors = [t for t in (given.get("weight"), given.get("bias")) if t is not None]
    fits = bool(over) and list(x.shape[-len(over) :]) == over
    return fits and all(list(t.shape) == over and t.dtype == x.dtype for t in tensors)


def _share(given: Given) -> bool:
    return 0 <= given["p"] <= 1


def _attention(given: Given) -> bool:
    q, k, v, mask = given["query"], given["key"], given["value"], given.get("attn_mask")
    same = len({t.dtype for t in (q, k, v)}) == 1 and len({t.dim() for t in (q, k, v)}) == 1 and q.is_floating_point()
    fits = same and 2 <= q.dim() <= 5 and q.shape[-1] == k.shape[-1] and k.shape[-2] == v.shape[-2]
    heads = given.get("enable_gqa", False) or (fits and q.shape[:-2] == k.shape[:-2] == v.shape[:-2])
    return fits and bool(heads) and (mask is None or mask.dim() <= q.dim()) and 0 <= given.get("dropout_p", 0.0) <= 1


def _division(given: Given) -> bool:
    """Whole numbers are divided by a number that is written down: the processor itself stops at some others."""
    a, b = given["self"], given["other"]
    if any(isinstance(v, Tensor) and v.is_floating_point() for v in (a, b)) or isinstance(b, float):
        return True
    if given.get("rounding_mode", "floor") is None:
        return True  # true division
    return not isinstance(b, Tensor) and b not in (0, -1)


def _positive(*names: str) -> Check:
    return lambda given: all(0 < n < LARGEST for name in names for n in _numbers(given[name]))


def _channel_groups(given: Given) -> bool:
    x, groups = given["self"], given["groups"]
    return x.dim() >= 3 and 0 < groups <= x.shape[1] and x.shape[1] % groups == 0


def _prelu(given: Given) -> bool:
    x, w = given["self"], given["weight"]
    if x.dtype != w.dtype or not x.is_floating_point():
        return False
    return w.dim() == x.dim() or w.numel() == 1 or (x.dim() > 1 and tuple(w.shape) == (x.shape[1],))


def _sampling(given: Given) -> bool:
    x, grid = given["input"], given["grid"]
    return (
        given["interpolation_mode"] in (0, 1, 2)
        and given["padding_mode"] in (0, 1, 2)
        and x.dim() == grid.dim()
        and x.dtype == grid.dtype
        and len(x) == len(grid)
        and grid.shape[-1] == grid.dim() - 2
    )


def _steps(given: Given) -> bool:
    values = [given.get(key) for key in ("start", "end", "step", "steps")]
    numbers = [v for v in values if isinstance(v, int | float)]
    return all(math.isfinite(v) and abs(v) < LARGEST for v in numbers) and given.get("step", 1) != 0


def _embedding(given: Given) -> bool:
    return given["weight"].dim() == 2 and given["indices"].dtype in (torch.int64, torch.int32)


def _classes(given: Given) -> bool:
    return 0 < given["num_classes"] < 1 << 20


def _weight_norm(given: Given) -> bool:
    return 0 <= given["dim"] < given["v"].dim() and given["v"].dtype == given["g"].dtype


def _recurrent(gates: int) -> Check:
    """As many weights as the numbers beside them say, of the shapes that they must have."""

    def check(given: Given) -> bool:
        x, hidden, layers = given["input"], given["hx"], given["num_layers"]
        params, sides = given["params"], 2 if given["bidirectional"] else 1
        each = 4 if given["has_biases"] else 2
        states = hidden if isinstance(hidden, list | tuple) else [hidden]
        if x.dim() not in (2, 3) or not 0 < layers <= 64 or len(params) != layers * sides * each:
            return False
        if len(states) != (2 if gates == 4 else 1) or any(s.dim() != x.dim() for s in states):
            return False
        size = states[0].shape[-1]
        for number in range(layers * sides):
            reads = x.shape[-1] if number < sides else size * sides
            wanted = [(gates * size, reads), (gates * size, size), (gates * size,), (gates * size,)][:each]
            if [tuple(p.shape) for p in params[number * each : (number + 1) * each]] != wanted:
                return False
        return all(s.shape[0] == layers * sides and s.shape[-1] == size for s in states) and 0 <= given["dropout"] <= 1

    return check


# What to check -> the operators; ".default" is left out.
TABLE: tuple[tuple[Check, str], ...] = (
    (_anything, """
        abs abs_ absolute acos acosh add.Scalar add.Tensor add_.Scalar add_.Tensor addcdiv addcmul addcmul_ asin asinh
        atan atan2 atanh bitwise_and.Scalar bitwise_and.Tensor bitwise_not bitwise_or.Scalar bitwise_or.Tensor ceil
        celu celu_ clamp clamp.Tensor clamp_ clamp_max clamp_max_ clamp_max.Tensor clamp_min clamp_min_
        clamp_min.Tensor clip clip_ cos cosh elu elu_ eq.Scalar eq.Tensor erf erf_ erfc exp exp_ exp2 expm1 floor fmax
        fmin frac ge.Scalar ge.Tensor gelu gelu_ gt.Scalar gt.Tensor hardshrink hardsigmoid hardsigmoid_ hardswish
        hardswish_ hardtanh hardtanh_ isfinite isinf isnan le.Scalar le.Tensor leaky_relu leaky_relu_ lerp.Scalar
        lerp.Tensor log log10 log1p log2 log_sigmoid logaddexp logical_and logical_not logical_or logical_xor logit
        lt.Scalar lt.Tensor maximum max.other minimum min.other mish mish_ mul.Scalar mul.Tensor mul_.Scalar
        mul_.Tensor multiply.Scalar multiply.Tensor nan_to_num ne.Scalar ne.Tensor neg neg_ pow.Scalar
        pow.Tensor_Scalar pow.Tensor_Tensor pow_.Scalar reciprocal relu relu_ relu6 relu6_ round rrelu rsqrt
        rsub.Scalar rsub.Tensor selu selu_ sigmoid sigmoid_ sign silu silu_ sin sinc sinh softplus softshrink sqrt
        sqrt_ square square_ sub.Scalar sub.Tensor sub_.Scalar sub_.Tensor subtract.Tensor subtract.Scalar tan tanh
        tanh_ threshold threshold_ trunc where.self where.Scalar where.ScalarOther where.ScalarSelf masked_fill.Scalar
        masked_fill.Tensor masked_fill_.Scalar masked_fill_.Tensor alias bmm mm addmm addmv addbmm baddbmm dot mv
        matmul linear inner outer einsum tensordot cat concat concatenate stack hstack vstack dstack chunk
        split.Tensor split.sizes split_with_sizes unsafe_split.Tensor unsafe_split_with_sizes unsafe_chunk
        tensor_split.sections tensor_split.indices unbind.int narrow select.int slice.Tensor slice_scatter
        select_scatter diagonal view _unsafe_view reshape reshape_as view_as flatten.using_ints unflatten.int permute
        transpose.int transpose_ swapaxes swapdims movedim.int movedim.intlist moveaxis.int moveaxis.intlist t numpy_T
        mT squeeze squeeze.dim squeeze.dims squeeze_ squeeze_.dim unsqueeze unsqueeze_ atleast_1d atleast_2d
        atleast_3d ravel expand expand_as broadcast_to broadcast_tensors repeat tile flip roll rot90 clone contiguous
        detach detach_ lift_fresh lift_fresh_copy to.dtype to.device to.other to.dtype_layout _to_copy type_as copy
        copy_ fill.Scalar fill.Tensor fill_.Scalar fill_.Tensor zero_ constant_pad_nd reflection_pad1d
        reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d replication_pad3d pad index.Tensor
        _unsafe_index.Tensor index_select index_put index_put_ index_add gather take_along_dim scatter.src
        scatter.value scatter_.src scatter_.value scatter_add scatter_add_ tril triu diag_embed diag meshgrid
        meshgrid.indexing sum sum.dim_IntList mean mean.dim amax amin aminmax max max.dim min min.dim argmax argmin
        all all.dim any any.dim var var.dim var.correction std std.dim std.correction var_mean var_mean.dim
        var_mean.correction std_mean std_mean.correction prod prod.dim_int logsumexp norm.Scalar norm.ScalarOpt_dim
        linalg_vector_norm cumsum cumprod softmax.int _softmax log_softmax.int _log_softmax topk sort sort.stable
        argsort argsort.stable median.dim cosine_similarity glu zeros ones full zeros_like ones_like full_like
        new_zeros new_ones new_full scalar_tensor eye eye.m count_nonzero count_nonzero.dim_IntList sym_size.int
        sym_numel sym_stride.int sym_storage_offset numel _assert_tensor_metadata sym_constrain_range
        sym_constrain_range_for_size _assert_scalar
    """),
    (_division, """
        div.Scalar div.Scalar_mode div.Tensor div.Tensor_mode div_.Scalar div_.Tensor divide.Scalar divide.Tensor
        true_divide.Tensor true_divide.Scalar floor_divide floor_divide.Scalar remainder.Scalar remainder.Tensor
        fmod.Scalar fmod.Tensor
    """),
    (_convolution, """
        conv1d conv1d.padding conv2d conv2d.padding conv3d conv3d.padding conv_transpose1d conv_transpose2d.input
        conv_transpose3d.input convolution _convolution
    """),
    (_window, """
        max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices max_pool3d_with_indices
        avg_pool1d avg_pool2d avg_pool3d im2col col2im
    """),
    (_output_size, """
        adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d
        adaptive_max_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d upsample_nearest1d upsample_nearest1d.vec
        upsample_nearest2d upsample_nearest2d.vec upsample_nearest3d upsample_nearest3d.vec upsample_linear1d
        upsample_linear1d.vec upsample_bilinear2d upsample_bilinear2d.vec upsample_bicubic2d upsample_bicubic2d.vec
        upsample_trilinear3d upsample_trilinear3d.vec _upsample_nearest_exact2d _upsample_nearest_exact2d.vec
        _upsample_bilinear2d_aa _upsample_bilinear2d_aa.vec _upsample_bicubic2d_aa _upsample_bicubic2d_aa.vec
        affine_grid_generator
    """),
    (_batch_norm, """
        batch_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit.no_stats
        _native_batch_norm_legit_functional _native_batch_norm_legit_no_training instance_norm
    """),
    (_group_norm, "group_norm native_group_norm"),
    (_layer_norm, "layer_norm native_layer_norm rms_norm _fused_rms_norm"),
    (_share, """
        dropout dropout_ native_dropout feature_dropout feature_dropout_ alpha_dropout feature_alpha_dropout
    """),
    (_attention, """
        scaled_dot_product_attention _scaled_dot_product_attention_math _scaled_dot_product_flash_attention_for_cpu
    """),
    (_positive("upscale_factor"), "pixel_shuffle"),
    (_positive("downscale_factor"), "pixel_unshuffle"),
    (_positive("size", "step"), "unfold"),
    (_positive("repeats"), "repeat_interleave.self_int"),
    (_channel_groups, "channel_shuffle native_channel_shuffle"),
    (_prelu, "prelu _prelu_kernel"),
    (_sampling, "grid_sampler grid_sampler_2d grid_sampler_3d"),
    (_steps, "arange arange.start arange.start_step linspace"),
    (_embedding, "embedding"),
    (_classes, "one_hot"),
    (_weight_norm, "_weight_norm"),
    (_recurrent(4), "lstm.input"),
    (_recurrent(3), "gru.input"),
    (_recurrent(1), "rnn_tanh.input rnn_relu.input"),
)  # fmt: skip
SPECTRAL = ("fft_rfft2", "fft_irfft2", "fft_fft2", "fft_ifft2", "view_as_real", "view_as_complex")
WITH_COMPLEX = frozenset({*SPECTRAL, "mul", "add", "cat", "view", "reshape", "permute"})
OPERATORS: dict[str, Check] = {
    name if "." in name else f"{name}.default": check
    for check, names in (*TABLE, (_anything, " ".join(SPECTRAL)))
    for name in names.split()
}
# Not dangerous, but a network in evaluation draws no random numbers: the program was exported in training mode.
DRAWS = ("bernoulli", "bernoulli_", "rand", "rand_like", "randn", "randn_like", "normal_", "uniform_", "randint")
_FAR = frozenset({"start", "end"})  # of a slice: the largest number there is stands for the end


def arguments_of(operator: Any, args: Iterable[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What an operator is given, by name, with its defaults."""
    schema = operator._schema.arguments
    given = {a.name: a.default_value for a in schema if a.has_default_value()}
    given |= {a.name: value for a, value in zip(schema, args)}
    return given | dict(kwargs)


def refuses(operator: Any, args: Iterable[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether this call of an operator of the table has arguments that no network gives it."""
    name = operator._schema.name.split("::")[-1]
    check = OPERATORS.get(f"{name}.{operator._schema.overload_name or 'default'}")
    given = arguments_of(operator, args, kwargs)
    types = REAL | COMPLEX if name in WITH_COMPLEX else REAL
    for key, value in given.items():
        for leaf in tree_leaves(value):
            if isinstance(leaf, Tensor) and (leaf.dtype not in types or leaf.layout is not torch.strided):
                return True
            if isinstance(leaf, torch.dtype) and leaf not in types:
                return True
            if isinstance(leaf, torch.layout) and leaf is not torch.strided:
                return True
            if isinstance(leaf, torch.device) and leaf.type not in ("cpu", "meta"):
                return True
            if isinstance(leaf, int) and abs(leaf) > LARGEST and key not in _FAR:
                return True
    return check is None or not check(given)
