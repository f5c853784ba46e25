"""One small network of Keras for every class that its files may hold, and for how they are put together."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

Keras = Any  # the module, which is imported when a test runs
Make = Callable[[Keras], Any]
IMAGE = (9, 8, 3)
SHAPES = {1: (9, 3), 2: IMAGE, 3: (7, 6, 5, 3)}


def one(function: Callable[[Any, Any], Any], shape: tuple[int, ...] = IMAGE) -> Make:
    """The network of ``function`` (keras.layers, input)."""

    def make(k: Keras) -> Any:
        x = k.Input(shape)
        return k.Model(x, function(k.layers, x))

    return make


def layer(kind: str, shape: tuple[int, ...] = IMAGE, **settings: Any) -> Make:
    """The network of one layer; its input has both signs."""
    return one(lambda lib, x: getattr(lib, kind)(**settings)(3 * x - 1.5), shape)


WINDOWS = [(k, s, p) for k, s, p in product((1, 2, 3, 4), (1, 2), ("same", "valid"))]
ACTIVATIONS = ("relu", "relu6", "sigmoid", "tanh", "softplus", "softsign", "silu", "hard_sigmoid", "hard_silu", "elu",
               "selu", "celu", "mish", "exponential", "hard_tanh", "log_sigmoid", "tanh_shrink", "soft_shrink",
               "hard_shrink", "gelu", "leaky_relu", "softmax", "log_softmax", "linear")  # fmt: skip

CASES: dict[str, Make] = {
    **{f"Conv2D {k} {s} {p}": layer("Conv2D", filters=4, kernel_size=k, strides=s, padding=p) for k, s, p in WINDOWS},
    **{
        f"DepthwiseConv2D {k} {s} {p}": layer(
            "DepthwiseConv2D", kernel_size=k, strides=s, padding=p, depth_multiplier=2
        )
        for k, s, p in WINDOWS
    },
    **{
        f"Conv2DTranspose {k} {s} {p}": layer("Conv2DTranspose", filters=4, kernel_size=k, strides=s, padding=p)
        for k, s, p in WINDOWS
    },
    **{f"MaxPooling2D {k} {s} {p}": layer("MaxPooling2D", pool_size=k, strides=s, padding=p) for k, s, p in WINDOWS},
    **{
        f"AveragePooling2D {k} {s} valid": layer("AveragePooling2D", pool_size=k, strides=s)
        for k, s, p in WINDOWS
        if p == "valid"
    },
    "Conv2D dilated": layer("Conv2D", filters=4, kernel_size=3, dilation_rate=2, padding="same"),
    "Conv2D in groups": layer("Conv2D", filters=6, kernel_size=3, groups=3),
    "Conv2D without bias": layer("Conv2D", filters=6, kernel_size=3, use_bias=False),
    "Conv2D channels first": one(
        lambda lib, x: lib.Flatten(data_format="channels_first")(
            lib.BatchNormalization(axis=1)(lib.Conv2D(4, 3, strides=2, padding="same", data_format="channels_first")(x))
        ),
        (3, 9, 8),
    ),
    "Conv1D": layer("Conv1D", SHAPES[1], filters=4, kernel_size=4, strides=2, padding="same"),
    "Conv1D causal": layer("Conv1D", SHAPES[1], filters=4, kernel_size=3, padding="causal", dilation_rate=2),
    "Conv3D": layer("Conv3D", SHAPES[3], filters=4, kernel_size=3, strides=2, padding="same"),
    "Conv1DTranspose": layer("Conv1DTranspose", SHAPES[1], filters=4, kernel_size=3, strides=2, padding="same"),
    "Conv3DTranspose": layer("Conv3DTranspose", (4, 3, 2, 2), filters=4, kernel_size=3, strides=2, padding="same"),
    "Conv2DTranspose longer": layer(
        "Conv2DTranspose", filters=4, kernel_size=3, strides=2, padding="same", output_padding=1
    ),
    "Conv2DTranspose longer valid": layer("Conv2DTranspose", filters=4, kernel_size=3, strides=2, output_padding=1),
    "DepthwiseConv1D": layer("DepthwiseConv1D", SHAPES[1], kernel_size=3, strides=2, padding="same"),
    "SeparableConv1D": layer("SeparableConv1D", SHAPES[1], filters=6, kernel_size=3, strides=2, padding="same"),
    "SeparableConv2D": layer(
        "SeparableConv2D", filters=6, kernel_size=3, strides=2, padding="same", depth_multiplier=2, activation="silu"
    ),
    **{
        f"{kind}{d}D keep={keep}": layer(f"{kind}{d}D", SHAPES[d], keepdims=keep)
        for kind, d, keep in product(("GlobalAveragePooling", "GlobalMaxPooling"), SHAPES, (True, False))
    },
    **{
        f"{kind}{d}D": layer(f"{kind}{d}D", SHAPES[d], pool_size=2)
        for kind, d in product(("MaxPooling", "AveragePooling"), (1, 3))
    },
    **{
        f"Adaptive{kind}Pooling{d}D": layer(f"Adaptive{kind}Pooling{d}D", SHAPES[d], output_size=2)
        for kind, d in product(("Average", "Max"), SHAPES)
    },
    **{f"ZeroPadding{d}D": layer(f"ZeroPadding{d}D", SHAPES[d], padding=2) for d in SHAPES},
    **{f"Cropping{d}D": layer(f"Cropping{d}D", SHAPES[d], cropping=1) for d in SHAPES},
    **{f"UpSampling{d}D": layer(f"UpSampling{d}D", SHAPES[d], size=2) for d in SHAPES},
    **{f"SpatialDropout{d}D": layer(f"SpatialDropout{d}D", SHAPES[d], rate=0.2) for d in SHAPES},
    "ZeroPadding2D one side": layer("ZeroPadding2D", padding=((0, 1), (2, 0))),
    "Cropping2D one side": layer("Cropping2D", cropping=((0, 1), (2, 0))),
    "UpSampling2D between": layer("UpSampling2D", size=(2, 3), interpolation="bilinear"),
    **{f"BatchNormalization {d}": layer("BatchNormalization", SHAPES[d]) for d in SHAPES},
    "BatchNormalization of rows": layer("BatchNormalization", (7,)),
    "BatchNormalization unscaled": layer("BatchNormalization", scale=False),
    "BatchNormalization unmoved": layer("BatchNormalization", center=False),
    "BatchNormalization bare": layer("BatchNormalization", scale=False, center=False),
    **{f"LayerNormalization {d}": layer("LayerNormalization", SHAPES[d]) for d in SHAPES},
    "LayerNormalization of all": layer("LayerNormalization", axis=[1, 2, 3]),
    "LayerNormalization unmoved": layer("LayerNormalization", (7,), center=False),
    "LayerNormalization unscaled": layer("LayerNormalization", (7,), scale=False),
    **{f"GroupNormalization {d}": layer("GroupNormalization", SHAPES[d], groups=3) for d in SHAPES},
    "GroupNormalization each": layer("GroupNormalization", groups=-1),
    "Rescaling": layer("Rescaling", scale=2.0, offset=0.1),
    "Rescaling channels": layer("Rescaling", scale=[1.0, 2.0, 3.0], offset=[0.1, 0.2, 0.3]),
    "Normalization": layer("Normalization"),
    "Normalization said": layer("Normalization", mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0]),
    **{f"Activation {name}": layer("Activation", activation=name) for name in ACTIVATIONS},
    "ReLU": layer("ReLU", max_value=0.8, negative_slope=0.1, threshold=0.2),
    "ReLU 6": layer("ReLU", max_value=6.0),
    "ReLU lower": layer("ReLU", max_value=0.4),
    "LeakyReLU": layer("LeakyReLU", negative_slope=0.1),
    "ELU": layer("ELU", alpha=0.7),
    "Softmax": layer("Softmax", axis=1),
    **{f"PReLU {d}": layer("PReLU", SHAPES[d], shared_axes=list(range(1, d + 1))) for d in SHAPES},
    "PReLU everywhere": layer("PReLU"),
    "an activation that is a layer": one(
        lambda lib, x: lib.Conv2D(4, 3, activation=lib.LeakyReLU(negative_slope=0.1))(x)
    ),
    "Dense": layer("Dense", (7,), units=4, activation="relu"),
    "Dense everywhere": layer("Dense", units=4),
    "Flatten": one(lambda lib, x: lib.Dense(5)(lib.Flatten()(lib.Conv2D(4, 3)(x)))),
    "Reshape": one(lambda lib, x: lib.Conv1D(4, 3)(lib.Reshape((-1, 3))(lib.ReLU()(x)))),
    "Permute": layer("Permute", dims=(3, 1, 2)),
    "RepeatVector": layer("RepeatVector", (5,), n=4),
    "Identity": layer("Identity"),
    "Dropout": layer("Dropout", rate=0.3),
    "Dropout of rows": layer("Dropout", rate=0.3, noise_shape=(None, 1, 1, 3)),
    "GaussianNoise": layer("GaussianNoise", stddev=0.3),
    "GaussianDropout": layer("GaussianDropout", rate=0.3),
    "AlphaDropout": layer("AlphaDropout", rate=0.3),
    "ActivityRegularization": layer("ActivityRegularization", l2=0.3),
    "RandomFlip": layer("RandomFlip"),
    "RandomRotation": layer("RandomRotation", factor=0.1),
    "RandomZoom": layer("RandomZoom", height_factor=0.1),
    "RandomTranslation": layer("RandomTranslation", height_factor=0.1, width_factor=0.1),
    "RandomContrast": layer("RandomContrast", factor=0.1),
    "RandomBrightness": layer("RandomBrightness", factor=0.1),
    **{
        kind: one(lambda lib, x, kind=kind: getattr(lib, kind)()([lib.Conv2D(3, 1)(x), lib.ReLU()(x)]))
        for kind in ("Add", "Multiply", "Average", "Maximum", "Minimum", "Subtract", "Concatenate")
    },
    "Concatenate places": one(lambda lib, x: lib.Concatenate(axis=1)([lib.Conv2D(3, 1)(x), x])),
    "Multiply ranks": one(lambda lib, x: lib.Multiply()([x, lib.GlobalAveragePooling2D()(x)])),
    "ops.Add ops.Subtract ops.Multiply ops.TrueDivide": one(lambda lib, x: (2.0 - x) * 3 / (x + 1.5) - lib.ReLU()(x)),
    "ops.Divide": lambda k: _with_ops(k),
    **{
        f"{kind} sequences={steps} backwards={back}": layer(
            kind, (6, 3), units=4, return_sequences=steps, go_backwards=back, bias_initializer="normal"
        )
        for kind, steps, back in product(("LSTM", "GRU", "SimpleRNN"), (True, False), (True, False))
    },
    **{
        f"Bidirectional {how} sequences={steps}": one(
            lambda lib, x, how=how, steps=steps: lib.Bidirectional(lib.GRU(4, return_sequences=steps), merge_mode=how)(
                x
            ),
            (6, 3),
        )
        for how, steps in product(("concat", "sum", "mul", "ave"), (True, False))
    },
    "LSTM without bias": layer("LSTM", (6, 3), units=4, use_bias=False),
    "MultiHeadAttention": one(lambda lib, x: lib.MultiHeadAttention(2, 4, value_dim=3)(x, x), (6, 5)),
    "MultiHeadAttention causal": one(
        lambda lib, x: lib.MultiHeadAttention(2, 4, output_shape=7)(
            x, lib.Dense(4)(x), lib.Dense(6)(x), use_causal_mask=True
        ),
        (6, 5),
    ),
    "Embedding": lambda k: _tokens(k),
    "squeeze and excite": lambda k: _squeezed(k),
    "a network in a network, twice": lambda k: _nested(k),
    "a layer used twice": lambda k: _shared(k),
    "two inputs, two outputs": lambda k: _two(k),
    "a network of two outputs, used twice": lambda k: _deep(k),
    "a chain": lambda k: _chain(k),
}


def _with_ops(k: Keras) -> Any:
    x = k.Input(IMAGE)
    return k.Model(x, k.ops.divide(x, 3.0))


def _tokens(k: Keras) -> Any:
    x = k.Input((6,), dtype="int32")
    return k.Model(x, k.layers.GRU(4)(k.layers.Embedding(9, 5)(x)))


def _squeezed(k: Keras) -> Any:
    lib, x = k.layers, k.Input(IMAGE)
    y = lib.Conv2D(8, 3)(x)
    gate = lib.Reshape((1, 1, 8))(lib.GlobalAveragePooling2D()(y))
    gate = lib.Conv2D(8, 1, activation="sigmoid")(lib.Conv2D(2, 1, activation="relu")(gate))
    return k.Model(x, lib.Dense(4)(lib.GlobalAveragePooling2D()(lib.Multiply()([y, gate]))))


def _nested(k: Keras) -> Any:
    lib, x = k.layers, k.Input(IMAGE)
    block = k.Sequential([lib.Conv2D(3, 3, padding="same"), lib.BatchNormalization(), lib.ReLU()], name="block")
    return k.Model(x, lib.Dense(4)(lib.GlobalMaxPooling2D()(block(block(x)))))


def _shared(k: Keras) -> Any:
    lib, x = k.layers, k.Input(IMAGE)
    same = lib.Conv2D(3, 3, padding="same")
    return k.Model(x, same(lib.ReLU()(same(x))))


def _two(k: Keras) -> Any:
    lib, left, right = k.layers, k.Input(IMAGE, name="left"), k.Input((5,), name="right")
    both = lib.GlobalAveragePooling2D()(lib.Conv2D(4, 3)(left)) + lib.Dense(4)(right)
    return k.Model([left, right], [lib.Dense(2, name="first")(both), lib.Dense(3, name="second")(both)])


def _deep(k: Keras) -> Any:
    lib, x, one_, two = k.layers, k.Input(IMAGE), k.Input(IMAGE), k.Input(IMAGE)
    inner = k.Model([one_, two], [lib.Conv2D(3, 1)(one_), two * 2.0])
    return k.Model(x, inner(inner([x, lib.ReLU()(x)])))


def _chain(k: Keras) -> Any:
    lib = k.layers
    return k.Sequential(
        [k.Input(IMAGE), lib.RandomFlip(), lib.Conv2D(4, 3), lib.Flatten(), lib.Dense(3, activation="softmax")]
    )


# name -> (how it is made, exact groups). Small images: what is compared is the arithmetic, at every layer.
APPLICATIONS: dict[str, dict[str, Any]] = {
    "MobileNet": {"input_shape": (32, 32, 3), "alpha": 0.25},
    "MobileNetV2": {"input_shape": (33, 33, 3), "alpha": 0.35},
    "MobileNetV3Small": {"input_shape": (32, 32, 3)},
    "EfficientNetB0": {"input_shape": (32, 32, 3)},
    "EfficientNetV2B0": {"input_shape": (32, 32, 3)},
    "ResNet50": {"input_shape": (32, 32, 3)},
    "ResNet50V2": {"input_shape": (32, 32, 3)},
    "DenseNet121": {"input_shape": (32, 32, 3)},
    "Xception": {"input_shape": (71, 71, 3)},
    "InceptionV3": {"input_shape": (75, 75, 3)},
    "VGG16": {"input_shape": (32, 32, 3)},
    "ConvNeXtTiny": {"input_shape": (32, 32, 3)},
}
